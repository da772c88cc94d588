// Small networks, data and options that the trainer's tests share.
#pragma once

#include <functional>

#include "limbeck/train/trainer.h"

namespace limbeck::train::testing {

/// conv - bn - relu - conv - gather (an `index`, whose backward accumulates) - dropout - linear, for images [1, 8, 8]
/// of 4 classes.
Model network(uint64_t seed);

/// Without BatchNorm and dropout: flatten - linear - relu - linear.
Model plain_network(uint64_t seed);

/// `samples` images [1, 8, 8] of 4 classes, shuffled and augmented, batches of 16, the last one left out if not full.
data::Loader loader(int64_t samples = 160);

/// What the held-out samples say.
ValidationResult validate(const Model& model);

TrainOptions options(OptimizerKind kind = OptimizerKind::sgd, Precision precision = Precision::fp32);

/// Plain training on loader().
TrainSummary run(const Model& model, const TrainOptions& options, const RunControl& control = {});

/// Parameters and buffers, bit for bit.
bool same_tensors(const Model& a, const Model& b);

}  // namespace limbeck::train::testing
