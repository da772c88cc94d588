// torch::optim's optimizers as members of a set: fused rules on their own state where the class is known exactly.
#pragma once

#include <memory>

#include "limbeck/train/sets/optimizer_ref.h"

namespace limbeck::train {

/// SGD, Adam, AdamW and Adagrad themselves run through limbeck's rules, reading the groups' options and writing the
/// state where their own step() would; subclasses and all others run their own step().
std::shared_ptr<OptimizerAdapter> adapt_torch_optimizer(torch::optim::Optimizer& optimizer);

}  // namespace limbeck::train
