// LAMB: Adam whose step has, in each layer, the length of lr times the weights'.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <string_view>

#include "limbeck/train/optim/rules/layerwise.h"

namespace limbeck::train {

struct LambRule {
  double lr = 1e-3;
  double beta1 = 0.9, beta2 = 0.999;
  double eps = 1e-6;
  double weight_decay = 0;  // decoupled: part of the step whose length is normed
  Adaptation adaptation = Adaptation::all;
  bool maximize = false;  // go up the gradient

  /// Throws InvalidArgument if a field is out of range.
  void validate() const;
};

/// One parameter with what the rule keeps of it. An undefined gradient: the parameter is passed over. Undefined
/// moments are made as zeros in the parameter's layout.
struct LambTensors {
  at::Tensor parameter;
  at::Tensor gradient{};
  at::Tensor exp_avg{}, exp_avg_sq{};  // in and out
  int64_t step = 0;                    // in and out: updates made so far
  std::string_view name = {};          // of the parameter, for messages
};

/// One update of every parameter, in two parallel regions: You et al. 2020 (arXiv:1904.00962), algorithm 2, with bias
/// correction and the identity for phi; g = gradient_scale · gradient (negative to maximize):
///   r = m̂ / (√v̂ + eps) + weight_decay · p;  p -= lr · ‖p‖ / ‖r‖ · r
/// The ratio is 1 where either norm is 0, and where `adaptation` leaves the parameter out. Layouts, dtypes, devices and
/// errors as for sgd_step.
void lamb_step(std::span<LambTensors> tensors, const LambRule& rule, double gradient_scale = 1);

}  // namespace limbeck::train
