// Adam and AdamW as torch.optim does them, over many tensors at a time.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <string_view>

namespace limbeck::train {

enum class AdamDecay : uint8_t {
  l2,         // Adam: weight_decay · p is added to the gradient
  decoupled,  // AdamW: p shrinks by lr · weight_decay before the step; Loshchilov and Hutter 2019 (arXiv:1711.05101)
};

struct AdamRule {
  double lr = 1e-3;
  double beta1 = 0.9, beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;
  AdamDecay decay = AdamDecay::l2;
  bool amsgrad = false;   // Reddi et al. 2018 (arXiv:1904.09237): divide by the largest second moment so far
  bool maximize = false;  // go up the gradient

  /// Throws InvalidArgument if a field is out of range.
  void validate() const;
};

/// One parameter with what the rule keeps of it. An undefined gradient: the parameter is passed over. Undefined
/// moments are made as zeros in the parameter's layout.
struct AdamTensors {
  at::Tensor parameter;
  at::Tensor gradient{};
  at::Tensor exp_avg{}, exp_avg_sq{};  // in and out
  at::Tensor max_exp_avg_sq{};         // in and out; stays undefined without amsgrad
  int64_t step = 0;                    // in and out: updates made so far
  std::string_view name = {};          // of the parameter, for messages
};

/// One update of every parameter, in one parallel region: Kingma and Ba 2015 (arXiv:1412.6980), algorithm 1, with
/// g = gradient_scale · gradient (negative to maximize) and, as in PyTorch, p -= lr / (1 - beta1^t) · m / (√v / √(1 -
/// beta2^t) + eps). Layouts, dtypes, devices and errors as for sgd_step.
void adam_step(std::span<AdamTensors> tensors, const AdamRule& rule, double gradient_scale = 1);

}  // namespace limbeck::train
