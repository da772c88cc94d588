// 1x1 convolutions with a stride, as the shortcuts of ResNets have them.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <optional>

namespace limbeck::fused {

/// conv2d of a [O, C / groups, 1, 1] weight with `stride` (height, width) and no padding, as the same convolution of
/// every stride-th pixel. Equal up to rounding, any dtype and device, gradients of any order. Why: the gradient of the
/// strided weight that libtorch 2.13 takes from oneDNN on AVX-512 writes outside its memory for some batch sizes ([31,
/// 8, 32, 32] on two threads among them), which ends the process sooner or later.
at::Tensor strided_pointwise_conv2d(const at::Tensor& input, const at::Tensor& weight,
                                    const std::optional<at::Tensor>& bias, const std::array<int64_t, 2>& stride,
                                    int64_t groups);

}  // namespace limbeck::fused
