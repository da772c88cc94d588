// Adagrad as torch.optim.Adagrad does it, over many tensors at a time.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <string_view>

namespace limbeck::train {

struct AdagradRule {
  double lr = 1e-2;
  double lr_decay = 0;             // the rate of step t, from 0, is lr / (1 + t · lr_decay)
  double weight_decay = 0;         // L2 penalty
  double initial_accumulator = 0;  // where the sums begin
  double eps = 1e-10;
  bool maximize = false;  // go up the gradient

  /// Throws InvalidArgument if a field is out of range.
  void validate() const;
};

/// One parameter with what the rule keeps of it. An undefined gradient: the parameter is passed over. An undefined sum
/// is made in the parameter's layout.
struct AdagradTensors {
  at::Tensor parameter;
  at::Tensor gradient{};
  at::Tensor sum{};            // in and out: of squared gradients
  int64_t step = 0;            // in and out: updates made so far
  std::string_view name = {};  // of the parameter, for messages
};

/// One update of every parameter, in one parallel region: Duchi et al. 2011 (JMLR 12), diagonal form, with
/// g = gradient_scale · gradient (negative to maximize):  s += g²;  p -= rate · g / (√s + eps).
/// Layouts, dtypes, devices and errors as for sgd_step.
void adagrad_step(std::span<AdagradTensors> tensors, const AdagradRule& rule, double gradient_scale = 1);

}  // namespace limbeck::train
