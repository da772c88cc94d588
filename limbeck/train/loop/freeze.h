// Transfer learning: parts of a model that stay as they are while the rest is trained.
#pragma once

#include <string>
#include <vector>

#include "limbeck/model/model.h"

namespace limbeck::train {

/// Scopes of BatchNorms that are frozen: those in a scope none of whose parameters requires a gradient (a BatchNorm
/// without parameters of its own is judged by the nearest scope around it that has some). In train mode they would go
/// on to change their running statistics, and with them what the frozen part computes.
std::vector<std::string> frozen_norms(const Model& model);

/// Train mode, except that frozen_norms stay in eval mode: they use their running statistics and keep them.
void train_unfrozen(Model& model);

}  // namespace limbeck::train
