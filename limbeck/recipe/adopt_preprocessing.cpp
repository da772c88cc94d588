#include "limbeck/recipe/adopt_preprocessing.h"

#include <algorithm>

#include "limbeck/data/preprocessing.h"
#include "limbeck/graph/lmb.h"

namespace limbeck::recipe {

namespace {

bool only_evaluates(const Recipe& recipe) {
  return std::all_of(recipe.stages.begin(), recipe.stages.end(),
                     [](const Stage& stage) { return std::holds_alternative<EvaluateStage>(stage); });
}

/// What a .lmb says of its images, as test transforms; empty where it says nothing, or only their size and
/// normalization.
std::vector<data::Transform> transforms_in(const std::string& lmb) {
  const graph::Graph graph = graph::load_lmb(lmb);  // maps the tensors, and reads none
  const auto found = graph.metadata.find(data::kPreprocessingKey);
  if (found == graph.metadata.end()) return {};
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
