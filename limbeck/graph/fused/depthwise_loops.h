// The loops of depthwise_kernels.h over lanes V (limbeck/core/lanes), which hold neighbouring channels. Included by the
// sources of the kernels alone. V is internal to its source, and so is what is made of it here.
#pragma once

#include <cstdint>

#include "limbeck/graph/fused/depthwise_kernels.h"

namespace limbeck::fused {

/// Loops over kBlocks vectors of channels at once, so that their chains of additions overlap.
template <class V, class Element, int kBlocks>
struct DepthwiseLoops {
  using Vector = V;
  using Mask = typename V::Mask;

  const DepthwiseGeometry& shape;
  const DepthwiseBackward<Element>& call;
  int64_t channel;      // the first
  Mask masks[kBlocks];  // by block

  DepthwiseLoops(const DepthwiseGeometry& geometry, const DepthwiseBackward<Element>& backward, int64_t first,
                 int64_t count)
      : shape(geometry), call(backward), channel(first) {
    for (int block = 0; block < kBlocks; ++block) masks[block] = V::mask(count - block * V::kWidth);
  }

  void image(int64_t n) const {
    const Element* gradient = call.output_gradient + n * shape.out_height * shape.out_width * shape.channels + channel;
    const int64_t input_offset = n * shape.height * shape.width * shape.channels + channel;
    if (call.weight_gradient != nullptr) weight_gradient(gradient, call.input + input_offset);
    if (call.input_gradient != nullptr) input_gradient(gradient, call.input_gradient + input_offset);
  }

  /// Row by row, so that the rows of both tensors are still in the first cache for the next tap.
  void weight_gradient(const Element* gradient, const Element* input) const {
    for (int64_t p = 0; p < shape.out_height; ++p) {
      const Element* gradient_row = gradient + p * shape.out_width * shape.channels;
      for (int64_t i = 0; i < shape.kernel_height; ++i) {
        const int64_t y = p * shape.stride_height + i - shape.padding_height;
        if (y < 0 || y >= shape.height) continue;
        const Element* input_row = input + y * shape.width * shape.channels;
        float* sums = call.weight_gradient + i * shape.kernel_width * shape.channels + channel;
        switch (shape.kernel_width) {
          case 3:
            weight_gradient_row<3>(gradient_row, input_row, sums);
            break;
          case 5:
            weight_gradient_row<5>(gradient_row, input_row, sums);
            break;
          default:
            weight_gradient_taps(gradient_row, input_row, sums, 0, shape.out_width);
            break;
        }
      }
    }
  }

  /// All taps of a row at once where all of them lie inside the image.
  template <int kTaps>
  void weight_gradient_row(const Element* gradient, const Element* input, float* sums) const {
    const int64_t stride = shape.stride_width, padding = shape.padding_width, pitch = shape.channels;
    const int64_t begin = (padding + stride - 1) / stride;
    const int64_t last = shape.width - kTaps + padding;  // of the first taps that fit
    const int64_t end = last < 0 ? 0 : last / stride + 1;
    if (begin >= end || end > shape.out_width) return weight_gradient_taps(gradient, input, sums, 0, shape.out_width);
    weight_gradient_taps(gradient, input, sums, 0, begin);
    Vector sum[kTaps][kBlocks];
#pragma GCC unroll 8
    for (int j = 0; j < kTaps; ++j)
#pragma GCC unroll 4
      for (int block = 0; block < kBlocks; ++block)
        sum[j][block] = V::load(sums + j * pitch + block * V::kWidth, masks[block]);
    const Element* x = input + (begin * stride - padding) * pitch;
    for (int64_t q = begin; q < end; ++q, x += stride * pitch) {
#pragma GCC unroll 4
      for (int block = 0; block < kBlocks; ++block) {
        const int64_t at = block * V::kWidth;
        const Vector g = V::load(gradient + q * pitch + at, masks[block]);
#pragma GCC unroll 8
        for (int j = 0; j < kTaps; ++j)
          sum[j][block] = V::multiply_add(g, V::load(x + j * pitch + at, masks[block]), sum[j][block]);
      }
    }
#pragma GCC unroll 8
    for (int j = 0; j < kTaps; ++j)
#pragma GCC unroll 4
      for (int block = 0; block < kBlocks; ++block)
        V::store(sums + j * pitch + block * V::kWidth, sum[j][block], masks[block]);
    weight_gradient_taps(gradient, input, sums, end, shape.out_width);
  }

  /// Tap by tap, for the outputs [begin, end) of a row.
  void weight_gradient_taps(const Element* gradient, const Element* input, float* sums, int64_t begin,
                            int64_t end) const {
    for (int64_t j = 0; j < shape.kernel_width; ++j) {
      for (int64_t q = begin; q < end; ++q) {
        const int64_t x = q * shape.stride_width + j - shape.padding_width;
        if (x < 0 || x >= shape.width) continue;
        for (int block = 0; block < kBlocks; ++block) {
          const int64_t at = block * V::kWidth;
          float* sum = sums + j * shape.channels + at;
          const Vector product_sum =
              V::multiply_add(V::load(gradient + q * shape.channels + at, masks[block]),
                              V::load(input + x * shape.channels + at, masks[block]), V::load(sum, masks[block]));
          V::store(sum, product_sum, masks[block]);
        }
      }
    }
  }

  void input_gradient(const Element* gradient, Element* result) const {
    for (int64_t y = 0; y < shape.height; ++y) {
      for (int64_t x = 0; x < shape.width; ++x, result += shape.channels) {
        input_gradient_pixel(gradient, call.row_taps[y], call.column_taps[x], result);
      }
    }
  }

  void input_gradient_pixel(const Element* gradient, const DepthwiseTaps& rows, const DepthwiseTaps& columns,
                            Element* result) const {
    const int64_t pitch = shape.channels, tap_step = shape.stride_width * pitch;
    Vector sum[kBlocks];
#pragma GCC unroll 4
    for (int block = 0; block < kBlocks; ++block) sum[block] = V::all(0.0F);
    for (int32_t row = 0; row < rows.count; ++row) {
      const Element* g = gradient + ((rows.first_output - row) * shape.out_width + columns.first_output) * pitch;
      const float* w = call.weight + channel +
                       ((rows.first_tap + row * shape.stride_height) * shape.kernel_width + columns.first_tap) * pitch;
      for (int32_t column = 0; column < columns.count; ++column, g -= pitch, w += tap_step) {
#pragma GCC unroll 4
        for (int block = 0; block < kBlocks; ++block) {
          const int64_t at = block * V::kWidth;
          sum[block] = V::multiply_add(V::load(g + at, masks[block]), V::load(w + at, masks[block]), sum[block]);
        }
      }
    }
#pragma GCC unroll 4
    for (int block = 0; block < kBlocks; ++block) V::store(result + block * V::kWidth, sum[block], masks[block]);
  }
};

/// All channels and images of a call, kBlocks vectors at a time, then single ones.
template <class V, class Element, int kBlocks>
void run_depthwise_backward(const DepthwiseGeometry& geometry, const DepthwiseBackward<Element>& call) {
  constexpr int64_t kStep = kBlocks * V::kWidth;
  const int64_t end = call.first_channel + call.num_channels;
  for (int64_t n = 0; n < call.num_images; ++n) {
    int64_t channel = call.first_channel;
    for (; channel + kStep <= end; channel += kStep)
      DepthwiseLoops<V, Element, kBlocks>(geometry, call, channel, kStep).image(n);
    for (; channel < end; channel += V::kWidth)
      DepthwiseLoops<V, Element, 1>(geometry, call, channel, end - channel).image(n);
  }
}

}  // namespace limbeck::fused
