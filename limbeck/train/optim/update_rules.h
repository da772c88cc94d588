// The update rules of all optimizers: what one step makes of parameters, gradients and state. They keep nothing
// themselves, so that they serve our Optimizer, torch::optim's state in C++ and torch.optim's in Python alike.
#pragma once

#include "limbeck/train/optim/gradients.h"      // IWYU pragma: export
#include "limbeck/train/optim/rules/adagrad.h"  // IWYU pragma: export
#include "limbeck/train/optim/rules/adam.h"     // IWYU pragma: export
#include "limbeck/train/optim/rules/lamb.h"     // IWYU pragma: export
#include "limbeck/train/optim/rules/lars.h"     // IWYU pragma: export
#include "limbeck/train/optim/rules/sgd.h"      // IWYU pragma: export
