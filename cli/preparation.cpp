#include "cli/preparation.h"

#include <algorithm>
#include <optional>
#include <sstream>

#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"
#include "limbeck/core/json/json.h"
#include "limbeck/model/inputs.h"

namespace limbeck::cli {

namespace {

constexpr std::uint64_t kMaxLabelBytes = 16 << 20;

/// What torchvision's classification models were evaluated with; the mean and standard deviation of ImageNet's training
/// images.
constexpr int64_t kImageNetResize = 256, kImageNetCrop = 224;
const data::Normalize kImageNet{.mean = {0.485F, 0.456F, 0.406F}, .stddev = {0.229F, 0.224F, 0.225F}};

data::Interpolation parse_interpolation(const std::string& name) {
  if (name == "nearest") return data::Interpolation::nearest;
  return name == "bicubic" ? data::Interpolation::bicubic : data::Interpolation::bilinear;
}

/// Resize and crop as the flags say, or, where they say nothing of one, as `own` does; `own`'s other transforms
/// between.
std::vector<data::Transform> transforms_of(const PreparationArguments& arguments,
                                           const std::vector<data::Transform>& own) {
  std::vector<int64_t> resize = arguments.resize, crop = arguments.crop;
  if (arguments.preset == "imagenet") {
    if (resize.empty()) resize = {kImageNetResize};
    if (crop.empty()) crop = {kImageNetCrop};
  }
  LIMBECK_CHECK(arguments.interpolation.empty() || !resize.empty(),
                "[preprocessing] --interpolation {} is of --resize, which is not given. Add --resize SIDE, such as "
                "--resize 256.",
                arguments.interpolation);
  std::vector<data::Transform> transforms;
  if (!resize.empty()) {
    transforms.emplace_back(
        data::Resize{.size = resize, .max_size = 0, .interpolation = parse_interpolation(arguments.interpolation)});
  }
  for (const data::Transform& transform : own) {
    const bool is_replaced = (!resize.empty() && std::holds_alternative<data::Resize>(transform)) ||
                             (!crop.empty() && std::holds_alternative<data::CenterCrop>(transform));
    if (!is_replaced) transforms.push_back(transform);
  }
  if (!crop.empty()) transforms.emplace_back(data::CenterCrop{.size = crop});
  return transforms;
}

std::optional<data::Normalize> normalization_of(const PreparationArguments& arguments) {
  LIMBECK_CHECK(arguments.mean.empty() == arguments.stddev.empty(),
                "[preprocessing] give both --mean and --stddev, or neither");
  if (!arguments.mean.empty()) {
    return data::Normalize{.mean = {arguments.mean.begin(), arguments.mean.end()},
                           .stddev = {arguments.stddev.begin(), arguments.stddev.end()}};
  }
  return arguments.preset == "imagenet" ? std::optional(kImageNet) : std::nullopt;
}

/// Channels, height and width of the model's images, where it says them.
std::optional<data::ImageShape> taken_shape(const graph::Graph& graph) {
  const std::optional<std::vector<int64_t>> sizes = sample_sizes(graph);
  if (!sizes || sizes->size() != 3) return std::nullopt;
  return data::ImageShape{(*sizes)[0], (*sizes)[1], (*sizes)[2]};
}

}  // namespace

std::optional<data::Preprocessing> own_preprocessing(const graph::Graph& graph) {
  const auto found = graph.metadata.find(data::kPreprocessingKey);
  if (found == graph.metadata.end()) return std::nullopt;
  return data::parse_preprocessing(found->second);
}

std::vector<std::string> own_labels(const graph::Graph& graph) {
  const auto found = graph.metadata.find(graph::kLabelsKey);
  if (found == graph.metadata.end()) return {};
  const core::Json json = core::parse_json(found->second, graph::kLabelsKey);
  return core::JsonView(json, graph::kLabelsKey).as_strings();
}

bool is_given(const PreparationArguments& arguments) {
  return !arguments.preset.empty() || !arguments.resize.empty() || !arguments.crop.empty() || !arguments.mean.empty() ||
         !arguments.stddev.empty() || !arguments.interpolation.empty();
}

data::Preprocessing prepare_by(const PreparationArguments& arguments, const graph::Graph& graph,
                               const std::string& model) {
  const std::optional<data::Preprocessing> own = own_preprocessing(graph);
  if (own && !is_given(arguments)) return *own;
  const std::optional<data::ImageShape> taken = own ? own->shape : taken_shape(graph);
  const std::optional<data::Normalize> given = normalization_of(arguments);
  LIMBECK_CHECK(
      own || given,
      "[preprocessing] {} does not say how images must be prepared for it (models trained by limbeck do). Give "
      "--preprocessing imagenet, or --mean and --stddev, or prepare them yourself and pass a .safetensors file "
      "with a tensor of the images.",
      model);
  std::vector<data::Transform> steps = transforms_of(arguments, own ? own->transforms : std::vector<data::Transform>{});
  LIMBECK_CHECK(!steps.empty() || taken,
                "[preprocessing] {} does not say what size its images have. Give --resize or --crop.", model);
  steps.emplace_back(given ? *given : own->normalize);
  const int64_t channels = taken ? taken->channels : int64_t{3};
  const data::ImageShape any{channels, data::ImageShape::kVaries, data::ImageShape::kVaries};
  data::Preprocessing result = data::make_preprocessing(std::move(steps), taken ? *taken : any);
  LIMBECK_CHECK(!taken || result.shape == *taken, "[preprocessing] this makes images {} and {} takes {}",
                data::to_string(result.shape), model, data::to_string(*taken));
  return data::parse_preprocessing(data::to_json(result));  // which checks what was given
}

std::vector<std::string> read_labels(const std::string& path) {
  const std::string text = core::read_file(path, kMaxLabelBytes);
  std::vector<std::string> labels;
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first != std::string::npos && text[first] == '[') {
    const core::Json json = core::parse_json(text, path);
    labels = core::JsonView(json, path).as_strings();
  } else {
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      if (line.ends_with('\r')) line.pop_back();
      if (!line.empty()) labels.push_back(line);
    }
  }
  if (labels.empty()) fail<IoError>("[labels] {} holds no class names. Write one a line, or a JSON array.", path);
  return labels;
}

}  // namespace limbeck::cli
