// Depthwise convolution for training: the library's forward, own gradients where they are faster.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <optional>

#include "limbeck/core/cpu.h"

namespace limbeck::fused {

/// One filter a channel, no dilation. Stride and padding in pixels: height, width.
struct DepthwiseConvolution {
  std::array<int64_t, 2> stride{1, 1};
  std::array<int64_t, 2> padding{0, 0};
};

/// conv2d with as many groups as channels. input [N, C, H, W], weight [C, 1, KH, KW], bias [C] or undefined; any dtype
/// and device that conv2d takes, autocast as conv2d has it. Gradients with respect to all three; those of float32 and
/// bfloat16 in channels_last order on the CPU come from own kernels (sums in float32), others, and those of gradients,
/// from ATen.
at::Tensor depthwise_conv2d(const at::Tensor& input, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                            const DepthwiseConvolution& convolution);

struct DepthwiseGradients {
  at::Tensor input;   // as the input, channels_last; undefined where not asked for
  at::Tensor weight;  // as the weight; undefined where not asked for
};

/// Which gradients are wanted.
struct DepthwiseWants {
  bool input = true, weight = true;
};

/// The gradients from that of the output. All tensors float32 or all bfloat16, 4-D on the CPU; what is not in
/// channels_last order is copied. The result has the same bits for any number of threads. `isa` is the tier of the
/// kernel.
DepthwiseGradients depthwise_gradients(const at::Tensor& output_gradient, const at::Tensor& input,
                                       const at::Tensor& weight, const DepthwiseConvolution& convolution,
                                       const DepthwiseWants& wants = {}, core::Isa isa = core::active_isa());

}  // namespace limbeck::fused
