// The op limbeck::batch_norm_act: batch normalisation over channels, an addition and an activation in one, forward and
// backward (Ioffe and Szegedy 2015, arXiv:1502.03167).
//
//   y = activation(batch_norm(x) [+ residual])
//
// Only x (and y where a residual was added) is kept for the backward pass: the normalised tensor and the mask of the
// activation never reach memory. Sums over rows are cut by shape alone, so results don't depend on the number of
// threads.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string_view>

namespace limbeck::fused {

struct BatchNormAct {
  at::Tensor weight{}, bias{};               // [C], float32; undefined: 1 and 0
  at::Tensor running_mean{}, running_var{};  // [C], float32, written in training; undefined: not kept
  bool training = true;
  double momentum = 0.1;
  double eps = 1e-5;
  std::optional<at::Tensor> residual{};  // of x's sizes
  std::string_view activation = "none";  // "none", "relu", "relu6", "silu"
};

/// x: [N, C, H, W], float32 or bfloat16. Own kernels run where batch statistics are taken of a channels_last tensor on
/// the CPU; everything else is put together from ATen's ops. Gradients for x, weight, bias and residual, once: a
/// gradient of the gradient throws Unsupported. Throws InvalidArgument for an unknown activation.
at::Tensor batch_norm_act(const at::Tensor& x, const BatchNormAct& options);

}  // namespace limbeck::fused
