// LARS: momentum SGD with a rate for each layer, in proportion to the ratio of the weights' to the gradient's norm.
#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <string_view>

#include "limbeck/train/optim/rules/layerwise.h"

namespace limbeck::train {

struct LarsRule {
  double lr = 0.1;
  double momentum = 0.9;
  double weight_decay = 0;
  double trust_coefficient = 0.001;  // eta of the paper
  Adaptation adaptation = Adaptation::all;
  bool maximize = false;  // go up the gradient

  /// Throws InvalidArgument if a field is out of range.
  void validate() const;
};

/// One parameter with what the rule keeps of it. An undefined gradient: the parameter is passed over. An undefined
/// buffer is made as zeros in the parameter's layout.
struct LarsTensors {
  at::Tensor parameter;
  at::Tensor gradient{};
  at::Tensor momentum_buffer{};  // in and out
  std::string_view name = {};    // of the parameter, for messages
};

/// One update of every parameter, in two parallel regions: You et al. 2017 (arXiv:1708.03888), algorithm 1, with
/// g = gradient_scale · gradient (negative to maximize):
///   ratio = trust_coefficient · ‖p‖ / (‖g‖ + weight_decay · ‖p‖)
///   b = momentum · b + lr · ratio · (g + weight_decay · p);  p -= b
/// The ratio is 1 where either norm is 0, and where `adaptation` leaves the parameter out. Layouts, dtypes, devices and
/// errors as for sgd_step.
void lars_step(std::span<LarsTensors> tensors, const LarsRule& rule, double gradient_scale = 1);

}  // namespace limbeck::train
