// The update rules of all optimizers: what one step makes of parameters, gradients and state. They keep nothing
// themselves, so that they serve our Optimizer, torch::optim's state in C++ and torch.optim's in Python alike.
#pragma once

#include "limbeck/train/optim/adagrad.h"    // IWYU pragma: export
#include "limbeck/train/optim/adam.h"       // IWYU pragma: export
#include "limbeck/train/optim/gradients.h"  // IWYU pragma: export
#include "limbeck/train/optim/lamb.h"       // IWYU pragma: export
#include "limbeck/train/optim/lars.h"       // IWYU pragma: export
#include "limbeck/train/optim/sgd.h"        // IWYU pragma: export
