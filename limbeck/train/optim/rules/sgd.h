// Stochastic gradient descent as torch.optim.SGD does it, over many tensors at a time.
#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <string_view>

namespace limbeck::train {

struct SgdRule {
  double lr = 1e-3;
  double momentum = 0;
  double dampening = 0;     // of the gradient's share in the momentum
  double weight_decay = 0;  // L2 penalty
  bool nesterov = false;    // Sutskever et al. 2013, section 2
  bool maximize = false;    // go up the gradient

  /// Throws InvalidArgument if a field is out of range.
  void validate() const;
};

/// One parameter with what the rule keeps of it. An undefined gradient: the parameter is passed over. An undefined
/// buffer: this is its first step, which makes the buffer in the parameter's layout, equal to the gradient.
struct SgdTensors {
  at::Tensor parameter;
  at::Tensor gradient{};
  at::Tensor momentum_buffer{};  // in and out; stays undefined where momentum is 0
  std::string_view name = {};    // of the parameter, for messages
};

/// One update of every parameter, in one parallel region: with g = gradient_scale · gradient (negative to maximize),
///   g += weight_decay · p;  b = momentum · b + (1 - dampening) · g;  p -= lr · (nesterov ? g + momentum · b : b)
/// Gradients are only read. Any strides; fastest where all of a parameter's tensors are dense with equal ones. float32,
/// float64, and float16 and bfloat16 with arithmetic in float32. On the CPU every instruction set gives the same bits.
/// Throws InvalidArgument where shapes, dtypes or devices differ, Unsupported for a sparse gradient.
void sgd_step(std::span<SgdTensors> tensors, const SgdRule& rule, double gradient_scale = 1);

}  // namespace limbeck::train
