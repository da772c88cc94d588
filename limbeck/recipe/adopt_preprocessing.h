// Evaluating finished models needs no transforms in the recipe: they lie in the models.
#pragma once

#include "limbeck/recipe/options.h"

namespace limbeck::recipe {

/// The recipe's data options. Where all stages evaluate and the options leave test_transforms, mean and stddev out, the
/// test transforms are those that the first model's .lmb was trained for, if it says them. Throws IoError if that file
/// cannot be read.
DataOptions adopt_preprocessing(const Recipe& recipe);

}  // namespace limbeck::recipe
