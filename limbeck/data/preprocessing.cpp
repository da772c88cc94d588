#include "limbeck/data/preprocessing.h"

#include "limbeck/core/error.h"
#include "limbeck/core/json/json.h"
#include "limbeck/data/files/image_file.h"
#include "limbeck/data/transforms/options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>

namespace limbeck::data {
namespace {

using core::Json;
using core::JsonView;

constexpr std::int64_t kMaxInputSide = 16'384;
constexpr std::size_t kMaxTransforms = 32;

std::vector<float> per_channel(const JsonView& values, std::int64_t channels) {
  std::vector<float> result;
  for (const JsonView& value : values.elements()) result.push_back(static_cast<float>(value.as_double()));
  const auto count = static_cast<std::int64_t>(result.size());
  if (count != 1 && count != channels) values.fail("must have one number, or one a channel");
  return result;
}

// The double that is written as the float is: 0.485, not 0.48500001430511475. No locale has a say in it.
double decimal(float value) {
  const std::string text = fmt::format("{}", value);
  double result = 0;
  std::from_chars(text.data(), text.data() + text.size(), result);
  return result;
}

// Floats by the shortest number that reads back as them.
Json shortest(const std::vector<float>& values) {
  std::vector<double> numbers;
  numbers.reserve(values.size());
  for (const float value : values) numbers.push_back(decimal(value));
  return Json::array(numbers);
}

// What may stand before the normalization.
bool is_preprocessing(const Transform& transform) {
  return !is_random(transform) && !std::holds_alternative<Normalize>(transform);
}

// Transforms from outside: they must make any image the model's input.
std::vector<Transform> parse_transforms(const JsonView& list, const ImageShape& shape) {
  if (list.size() > kMaxTransforms) list.fail("must be a short list");
  std::vector<Transform> transforms;
  for (const JsonView& element : list.elements()) {
    transforms.push_back(parse_transform(element));
    if (!is_preprocessing(transforms.back())) element.fail("must be resize, center_crop, pad or grayscale");
  }
  try {
    const ImageShape made = output_shape(transforms, {shape.channels, ImageShape::kVaries, ImageShape::kVaries});
    if (made != shape) list.fail("must make images " + to_string(shape));
  } catch (const InvalidArgument& error) {
    list.fail(std::string("must be valid: ") + error.what());
  }
  return transforms;
}

}  // namespace

std::vector<Transform> Preprocessing::steps() const {
  std::vector<Transform> all = transforms;
  if (all.empty()) all.emplace_back(Resize{.size = {shape.height, shape.width}});
  all.emplace_back(normalize);
  return all;
}

Preprocessing make_preprocessing(std::vector<Transform> transforms, const ImageShape& input) {
  LIMBECK_CHECK(!transforms.empty() && std::holds_alternative<Normalize>(transforms.back()),
                "[data] the transforms of a model's input must end in normalize.");
  Preprocessing result;
  result.normalize = std::get<Normalize>(transforms.back());
  transforms.pop_back();
  for (const Transform& transform : transforms) {
    LIMBECK_CHECK(is_preprocessing(transform),
                  "[data] {} cannot belong to a model's input. Use resize, center_crop, pad and grayscale.",
                  name_of(transform));
  }
  const ImageShape any{input.channels, ImageShape::kVaries, ImageShape::kVaries};
  if (!input.is_open() && output_shape(transforms, any).is_open()) {
    transforms.insert(transforms.begin(), Resize{.size = {input.height, input.width}});
  }
  result.shape = output_shape(transforms, any);
  LIMBECK_CHECK(!result.shape.is_open(),
                "[data] the transforms of a model's input must make one size. Add center_crop, or resize to height and "
                "width.");
  output_shape(Transform(result.normalize), result.shape);
  result.transforms = std::move(transforms);
  return result;
}

std::string to_json(const Preprocessing& preprocessing) {
  const ImageShape& shape = preprocessing.shape;
  Json json = Json::object({{"channels", shape.channels},
                            {"height", shape.height},
                            {"width", shape.width},
                            {"mean", shortest(preprocessing.normalize.mean)},
                            {"stddev", shortest(preprocessing.normalize.stddev)}});
  if (!preprocessing.transforms.empty()) {
    Json::Array list;
    for (const Transform& transform : preprocessing.transforms) list.push_back(to_json(transform));
    json["transforms"] = Json(std::move(list));
  }
  return json.dump();
}

std::string to_text(const Preprocessing& preprocessing) {
  std::string text;
  for (const Transform& transform : preprocessing.steps()) {
    if (const auto* resize = std::get_if<Resize>(&transform)) {
      static constexpr const char* kNames[] = {"nearest", "bilinear", "bicubic"};
      text += fmt::format("resize {} {}, ", resize->size, kNames[static_cast<std::size_t>(resize->interpolation)]);
    } else if (const auto* crop = std::get_if<CenterCrop>(&transform)) {
      text += fmt::format("center_crop {}, ", crop->size);
    } else if (!std::holds_alternative<Normalize>(transform)) {
      text += name_of(transform) + ", ";
    }
  }
  return text + fmt::format("mean {}, stddev {}", preprocessing.normalize.mean, preprocessing.normalize.stddev);
}

Preprocessing parse_preprocessing(std::string_view json) {
  const Json document = core::parse_json(json, kPreprocessingKey, {.max_bytes = 1 << 16, .max_values = 1000});
  const JsonView view(document, kPreprocessingKey);
  view.allow_only({"channels", "height", "width", "mean", "stddev", "transforms"});
  Preprocessing result;
  result.shape = {.channels = view["channels"].as_int(1, 3),
                  .height = view["height"].as_int(1, kMaxInputSide),
                  .width = view["width"].as_int(1, kMaxInputSide)};
  if (result.shape.channels == 2) view["channels"].fail("must be 1 or 3");
  result.normalize.mean = per_channel(view["mean"], result.shape.channels);
  result.normalize.stddev = per_channel(view["stddev"], result.shape.channels);
  for (const float value : result.normalize.stddev) {
    if (!(value > 0)) view["stddev"].fail("must be above zero");
  }
  if (const auto list = view.get("transforms")) result.transforms = parse_transforms(*list, result.shape);
  return result;
}

at::Tensor prepare_image(const std::string& path, const Preprocessing& preprocessing) {
  const bool is_gray = preprocessing.shape.channels == 1;
  return apply(preprocessing.steps(), read_image(path, is_gray ? Channels::gray : Channels::rgb), SampleKey{});
}

}  // namespace limbeck::data
