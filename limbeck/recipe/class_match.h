// Internal to limbeck/recipe: which of a model's classes the classes of a test set are, where it has only some of them
// or another order.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "limbeck/core/json/json.h"
#include "limbeck/graph/graph.h"

namespace limbeck::recipe {

struct ClassMatch {
  std::vector<int64_t> classes;  // of the model, one for each of the data's; empty: the same numbers
  std::string note;              // for people, after the model's name; empty: all are there, in the same order
};

/// The classes of a model; `names` is empty where it does not name them.
struct ModelClasses {
  int64_t count = 0;
  std::vector<std::string> names{};
};

/// The names that a model's metadata gives its classes, where there are `count` of them. Throws IoError where the
/// metadata is damaged.
ModelClasses classes_of(const graph::Graph& graph, int64_t count);

/// By name where the model has every name of the data's. A model that names none has them in the data's order where
/// both have as many (folders "10" before "2", as it was trained on them), else they are called "0", "1", ... In all
/// other cases by number: where the data's classes have no names of their own, the model names none, or both have as
/// many. Throws InvalidArgument for the first name that the model lacks in any other case, and where the data has more
/// classes than the model. `where` begins its messages: "[evaluate] model 'm'".
ClassMatch match_classes(const ModelClasses& model, const std::vector<std::string>& data, const std::string& where);

}  // namespace limbeck::recipe
