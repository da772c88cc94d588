// Gradients of a depthwise convolution on raw memory in channels_last order, one kernel per instruction set beside a
// plain reference. Why own ones: the libraries have fast paths for 3x3 with stride 1 alone; elsewhere, and in bfloat16,
// their gradients take ten times and more of what the memory traffic costs.
#pragma once

#include <cstdint>

namespace limbeck::fused {

/// y[n, p, q, c] = sum over i, j of x[n, p * stride + i - padding, q * stride + j - padding, c] * w[i, j, c]
struct DepthwiseGeometry {
  int64_t channels = 0;
  int64_t height = 0, width = 0;          // of x, in pixels
  int64_t out_height = 0, out_width = 0;  // of y
  int64_t kernel_height = 0, kernel_width = 0;
  int64_t stride_height = 1, stride_width = 1;
  int64_t padding_height = 0, padding_width = 0;
};

/// The outputs along one axis that one input takes part in: `count` of them, the first `first_output` and then going
/// down by one, with kernel taps `first_tap` and then going up by the stride.
struct DepthwiseTaps {
  int32_t first_output = 0, first_tap = 0, count = 0;
};

/// What one call computes: images [0, num_images) and channels [first_channel, first_channel + num_channels) of tensors
/// that have `geometry.channels` of them. Elements are float or bfloat16 (as uint16_t), the kernel says which.
template <class Element>
struct DepthwiseBackward {
  const Element* output_gradient = nullptr;  // [N, OH, OW, C]
  const Element* input = nullptr;            // [N, H, W, C]
  const float* weight = nullptr;             // [KH, KW, C]
  Element* input_gradient = nullptr;         // [N, H, W, C]; null: not wanted
  float* weight_gradient = nullptr;          // [KH, KW, C], added to; null: not wanted
  int64_t num_images = 0;
  int64_t first_channel = 0, num_channels = 0;
  const DepthwiseTaps* row_taps = nullptr;  // of each row and column of the input
  const DepthwiseTaps* column_taps = nullptr;
};

template <class Element>
using DepthwiseBackwardKernel = void (*)(const DepthwiseGeometry&, const DepthwiseBackward<Element>&);

void depthwise_backward_plain(const DepthwiseGeometry& geometry, const DepthwiseBackward<float>& call);
void depthwise_backward_plain(const DepthwiseGeometry& geometry, const DepthwiseBackward<uint16_t>& call);
void depthwise_backward_avx2(const DepthwiseGeometry& geometry, const DepthwiseBackward<float>& call);
void depthwise_backward_avx2(const DepthwiseGeometry& geometry, const DepthwiseBackward<uint16_t>& call);
void depthwise_backward_avx512(const DepthwiseGeometry& geometry, const DepthwiseBackward<float>& call);
void depthwise_backward_avx512(const DepthwiseGeometry& geometry, const DepthwiseBackward<uint16_t>& call);

}  // namespace limbeck::fused
