#include "limbeck/data/transforms/options.h"

#include "limbeck/core/error.h"
#include "limbeck/core/overloaded.h"

#include <algorithm>

namespace limbeck::data {
namespace {

using core::Json;
using core::JsonView;
using Options = std::vector<TransformOption>;

constexpr std::size_t kMaxListLength = 64;

template <class E>
NamedValue named(E& value, std::vector<std::string> names) {
  return {.names = std::move(names),
          .get = [&value] { return static_cast<std::size_t>(value); },
          .set = [&value](std::size_t index) { value = static_cast<E>(index); }};
}

NamedValue interpolation(Interpolation& value) { return named(value, {"nearest", "bilinear", "bicubic"}); }
NamedValue padding_mode(PaddingMode& value) { return named(value, {"constant", "edge", "reflect"}); }

constexpr const char* kSizeHelp = "side, or height and width, in pixels";
constexpr const char* kInterpolationHelp = "how pixels are resampled; antialiased but for nearest";
constexpr const char* kFillHelp = "constant: value of the padding, in the image's own range";
constexpr const char* kModeHelp = "what the padding shows: a constant, the border's pixels, or the mirrored image";
constexpr const char* kProbabilityHelp = "probability";
constexpr const char* kBinsHelp = "number of magnitudes from weakest to strongest";

Options options(RandomCrop& t) {
  return {{"size", &t.size, "side, or height and width, of the window; empty: the image's"},
          {"padding", &t.padding, "pixels on all sides before the crop"},
          {"padding_mode", padding_mode(t.mode), kModeHelp},
          {"fill", &t.fill, kFillHelp}};
}

Options options(HorizontalFlip& t) { return {{"p", &t.probability, kProbabilityHelp}}; }
Options options(VerticalFlip& t) { return {{"p", &t.probability, kProbabilityHelp}}; }
Options options(RandomGrayscale& t) { return {{"p", &t.probability, kProbabilityHelp}}; }

Options options(Normalize& t) {
  return {{"mean", &t.mean, "per channel, of pixels in 0..1"}, {"std", &t.stddev, "per channel, of pixels in 0..1"}};
}

Options options(Resize& t) {
  return {{"size", &t.size, "the shorter side, or height and width, in pixels"},
          {"max_size", &t.max_size, "with one number: longest longer side; 0: any"},
          {"interpolation", interpolation(t.interpolation), kInterpolationHelp}};
}

Options options(CenterCrop& t) { return {{"size", &t.size, kSizeHelp}}; }

Options options(RandomResizedCrop& t) {
  return {{"size", &t.size, kSizeHelp},
          {"scale", &t.scale, "lowest and highest share of the image's area"},
          {"ratio", &t.ratio, "lowest and highest width over height"},
          {"interpolation", interpolation(t.interpolation), kInterpolationHelp}};
}

Options options(Pad& t) {
  return {{"padding", &t.padding, "pixels on all sides; left and right, top and bottom; or left, top, right, bottom"},
          {"padding_mode", padding_mode(t.mode), kModeHelp},
          {"fill", &t.fill, kFillHelp}};
}

Options options(ColorJitter& t) {
  return {{"brightness", &t.brightness, "factors 1 - x to 1 + x, or lowest and highest factor"},
          {"contrast", &t.contrast, "factors 1 - x to 1 + x, or lowest and highest factor"},
          {"saturation", &t.saturation, "factors 1 - x to 1 + x, or lowest and highest factor"},
          {"hue", &t.hue, "turns of -x to x of the colour circle, or lowest and highest; within -0.5 to 0.5"}};
}

Options options(Grayscale& t) { return {{"num_output_channels", &t.channels, "1, or 3 equal ones"}}; }

Options options(RandomErasing& t) {
  return {{"p", &t.probability, kProbabilityHelp},
          {"scale", &t.scale, "lowest and highest share of the image's area"},
          {"ratio", &t.ratio, "lowest and highest height over width"},
          {"value", &t.value, "what overwrites the rectangle; one number, or one a channel"},
          {"content", named(t.content, {"value", "noise"}), "value, or standard normal noise"}};
}

Options options(AutoAugment& t) {
  return {{"policy", named(t.policy, {"imagenet", "cifar10", "svhn"}), "data set on which it was learned"}};
}

Options options(RandAugment& t) {
  return {{"num_ops", &t.num_ops, "operations in sequence"},
          {"magnitude", &t.magnitude, "strength of all operations, 0 to num_magnitude_bins - 1"},
          {"num_magnitude_bins", &t.num_magnitude_bins, kBinsHelp}};
}

Options options(TrivialAugmentWide& t) { return {{"num_magnitude_bins", &t.num_magnitude_bins, kBinsHelp}}; }

struct Row {
  const char* name;
  const char* help;
  Transform transform;
};

// One row a transform, in the order of Transform's alternatives.
const std::vector<Row>& rows() {
  static const std::vector<Row> kRows{
      {"random_crop", "a window at a random place of the padded image", RandomCrop{}},
      {"random_horizontal_flip", "mirrors left to right by chance", HorizontalFlip{}},
      {"normalize", "subtracts the mean and divides by the standard deviation", Normalize{}},
      {"resize", "resizes the image", Resize{}},
      {"center_crop", "the middle of the image", CenterCrop{}},
      {"random_resized_crop", "a box of random area and aspect ratio, resized", RandomResizedCrop{}},
      {"pad", "adds pixels around the image", Pad{}},
      {"random_vertical_flip", "turns upside down by chance", VerticalFlip{}},
      {"color_jitter", "random brightness, contrast, saturation and hue in random order", ColorJitter{}},
      {"grayscale", "the luma", Grayscale{}},
      {"random_grayscale", "the luma by chance, in as many channels as the image has", RandomGrayscale{}},
      {"random_erasing", "overwrites a random rectangle by chance", RandomErasing{}},
      {"auto_augment", "a learned pair of operations (AutoAugment)", AutoAugment{}},
      {"rand_augment", "random operations of one strength (RandAugment)", RandAugment{}},
      {"trivial_augment_wide", "one random operation of random strength (TrivialAugment)", TrivialAugmentWide{}},
  };
  return kRows;
}

Json value_json(const OptionRef& value) {
  return std::visit(core::Overloaded{[](const std::int64_t* number) { return Json(*number); },
                                     [](const double* number) { return Json(*number); },
                                     [](const NamedValue& name) { return Json(name.names.at(name.get())); },
                                     [](const auto* list) { return Json::array(*list); }},
                    value);
}

// The elements of a list, or a lone number.
std::vector<JsonView> elements_of(const JsonView& view) {
  if (!view.value().is_array()) return {view};
  if (view.size() > kMaxListLength) view.fail("must be a short list");
  return view.elements();
}

void read_value(const OptionRef& option, const JsonView& view) {
  std::visit(core::Overloaded{[&](std::int64_t* number) { *number = view.as_int(); },
                              [&](double* number) { *number = view.as_double(); },
                              [&](const NamedValue& value) {
                                const auto found = std::find(value.names.begin(), value.names.end(), view.as_string());
                                if (found == value.names.end()) view.fail("must be a known name");
                                value.set(static_cast<std::size_t>(found - value.names.begin()));
                              },
                              [&](std::vector<std::int64_t>* list) {
                                list->clear();
                                for (const JsonView& element : elements_of(view)) list->push_back(element.as_int());
                              },
                              [&](auto* list) {
                                list->clear();
                                for (const JsonView& element : elements_of(view)) {
                                  using Number = typename std::remove_reference_t<decltype(*list)>::value_type;
                                  list->push_back(static_cast<Number>(element.as_double()));
                                }
                              }},
             option);
}

}  // namespace

const std::vector<std::string>& transform_names() {
  static const std::vector<std::string> kNames = [] {
    std::vector<std::string> names;
    for (const Row& row : rows()) names.emplace_back(row.name);
    return names;
  }();
  return kNames;
}

const std::string& name_of(const Transform& transform) { return transform_names().at(transform.index()); }

Transform make_transform(std::string_view name) {
  for (const Row& row : rows()) {
    if (row.name == name) return row.transform;
  }
  fail<InvalidArgument>("[data] there is no transform '{}'.{}", name, nearest_hint(name, transform_names()));
}

const char* help_of(const Transform& transform) { return rows().at(transform.index()).help; }

std::vector<TransformOption> options_of(Transform& transform) {
  return std::visit([](auto& one) { return options(one); }, transform);
}

Json to_json(const Transform& transform) {
  Transform copy = transform;
  Json json = Json::object();
  for (const TransformOption& option : options_of(copy)) json[option.key] = value_json(option.value);
  return Json::object({{name_of(transform), std::move(json)}});
}

Transform parse_transform(const JsonView& view) {
  const auto members = view.members();
  if (members.size() != 1) view.fail("must be one transform's name with its options");
  const std::string_view name = members.front().first;
  const JsonView& values = members.front().second;
  const std::vector<std::string>& names = transform_names();
  if (std::find(names.begin(), names.end(), name) == names.end()) view.fail("must be a known transform");
  Transform transform = make_transform(name);
  const std::vector<TransformOption> known = options_of(transform);
  for (const auto& member : values.members()) {
    const auto option =
        std::find_if(known.begin(), known.end(), [&](const auto& one) { return one.key == member.first; });
    if (option == known.end()) member.second.fail("is not an option of this transform");
    read_value(option->value, member.second);
  }
  return transform;
}

}  // namespace limbeck::data
