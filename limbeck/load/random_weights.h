// Models that are only a name of the zoo: what they give means nothing, which people must be told.
#pragma once

#include <string>

namespace limbeck {

/// What people are told of such a model, after its name, without a full stop.
inline constexpr const char* kRandomWeightsNote =
    "its weights are random, as a zoo name brings none: give it some with `weights: FILE` in a recipe, or by `limbeck "
    "capture zoo:NAME --weights FILE -o model.lmb`";

/// Whether load(what) makes a model with random weights. Throws what identify_model throws.
bool has_random_weights(const std::string& what);

}  // namespace limbeck
