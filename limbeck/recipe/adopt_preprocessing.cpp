#include "limbeck/recipe/adopt_preprocessing.h"

#include <algorithm>

#include "limbeck/core/safetensors.h"
#include "limbeck/data/preprocessing.h"

namespace limbeck::recipe {

namespace {

bool only_evaluates(const Recipe& recipe) {
  return std::all_of(recipe.stages.begin(), recipe.stages.end(),
                     [](const Stage& stage) { return std::holds_alternative<EvaluateStage>(stage); });
}

/// What a .lmb says of its images, as test transforms; empty where it says nothing, or only their size and
/// normalization.
std::vector<data::Transform> transforms_in(const std::string& lmb) {
  const core::SafetensorsFile file = core::SafetensorsFile::open(lmb);
  const auto found = file.metadata().find(data::kPreprocessingKey);
  if (found == file.metadata().end()) return {};
  const data::Preprocessing preprocessing = data::parse_preprocessing(found->second);
  return preprocessing.transforms.empty() ? std::vector<data::Transform>{} : preprocessing.steps();
}

}  // namespace

DataOptions adopt_preprocessing(const Recipe& recipe) {
  DataOptions options = recipe.data;
  const bool says_nothing = options.test_transforms.empty() && options.mean.empty();
  if (!says_nothing || !only_evaluates(recipe) || recipe.models.empty()) return options;
  const std::string& file = recipe.models.front().second.file;
  if (file.ends_with(".lmb")) options.test_transforms = transforms_in(file);
  return options;
}

}  // namespace limbeck::recipe
