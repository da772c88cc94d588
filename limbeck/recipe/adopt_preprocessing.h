// Models that say what is done to their images need no transforms in the recipe.
#pragma once

#include "limbeck/recipe/options.h"

namespace limbeck::recipe {

struct AdoptedData {
  DataOptions options;
  std::string note;  // what was taken from which file, for people; empty: nothing
};

/// The recipe's data options. Where they leave test_transforms, mean and stddev out, these are what a model's .lmb
/// says, if it says something: of the model that the first stage trains, which takes them for training too where
/// nothing else is given, or of the first model where all stages evaluate. Throws IoError if that file cannot be read.
AdoptedData adopt_preprocessing(const Recipe& recipe);

}  // namespace limbeck::recipe
