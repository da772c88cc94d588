#include "limbeck/recipe/adopt_preprocessing.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "limbeck/data/preprocessing.h"
#include "limbeck/graph/lmb.h"

namespace limbeck::recipe {

namespace {

bool is_evaluation(const Stage& stage) { return std::holds_alternative<EvaluateStage>(stage); }

/// Whose preprocessing counts: the model that the first training trains, else the first one.
std::string model_that_tells(const Recipe& recipe) {
  for (const Stage& stage : recipe.stages) {
    if (const auto* train = std::get_if<TrainStage>(&stage)) return train->model;
    if (const auto* distill = std::get_if<DistillStage>(&stage)) return distill->student;
  }
  return recipe.models.empty() ? std::string() : recipe.models.front().first;
}

/// What the .lmb of a model in `models` says of its images; nothing for other models, and where it says nothing.
std::optional<data::Preprocessing> preprocessing_of(const Recipe& recipe, const std::string& name) {
  const auto model =
      std::find_if(recipe.models.begin(), recipe.models.end(), [&](const auto& one) { return one.first == name; });
  if (model == recipe.models.end() || !model->second.file.ends_with(".lmb")) return std::nullopt;
  const graph::Graph graph = graph::load_lmb(model->second.file);  // maps the tensors, and reads none
  const auto found = graph.metadata.find(data::kPreprocessingKey);
  if (found == graph.metadata.end()) return std::nullopt;
  return data::parse_preprocessing(found->second);
}

/// The steps for training images: those of testing without the normalization, which is the same for both, then the
/// recipe's augmentation.
std::vector<data::Transform> training_steps(const data::Preprocessing& preprocessing, const DataOptions& options) {
  std::vector<data::Transform> steps = preprocessing.transforms;
  if (options.crop_padding > 0) steps.emplace_back(data::RandomCrop{.padding = options.crop_padding});
  if (options.flip_probability > 0) {
    steps.emplace_back(data::HorizontalFlip{.probability = options.flip_probability});
  }
  return steps;
}

void adopt_for_training(const data::Preprocessing& preprocessing, DataOptions& options) {
  options.mean.assign(preprocessing.normalize.mean.begin(), preprocessing.normalize.mean.end());
  options.stddev.assign(preprocessing.normalize.stddev.begin(), preprocessing.normalize.stddev.end());
  if (preprocessing.transforms.empty()) return;
  options.test_transforms = preprocessing.transforms;
  if (!options.train_transforms.empty()) return;
  options.train_transforms = training_steps(preprocessing, options);
  options.crop_padding = 0;
  options.flip_probability = 0;
}

}  // namespace

AdoptedData adopt_preprocessing(const Recipe& recipe) {
  AdoptedData adopted{.options = recipe.data, .note = {}};
  DataOptions& options = adopted.options;
  if (!options.test_transforms.empty() || !options.mean.empty()) return adopted;
  const std::string name = model_that_tells(recipe);
  const std::optional<data::Preprocessing> own = preprocessing_of(recipe, name);
  if (!own) return adopted;
  if (!std::all_of(recipe.stages.begin(), recipe.stages.end(), is_evaluation)) {
    adopt_for_training(*own, options);
    adopted.note = fmt::format("images are prepared as {} says: {}", name, data::to_text(*own));
  } else if (!own->transforms.empty()) {
    options.test_transforms = own->steps();
  }
  return adopted;
}

}  // namespace limbeck::recipe
