#include "limbeck/graph/fused/strided_pointwise.h"

#include <ATen/ATen.h>

namespace limbeck::fused {

at::Tensor strided_pointwise_conv2d(const at::Tensor& input, const at::Tensor& weight,
                                    const std::optional<at::Tensor>& bias, const std::array<int64_t, 2>& stride,
                                    int64_t groups) {
  const int64_t height_axis = input.dim() - 2, width_axis = input.dim() - 1;
  const at::Tensor sampled = input.slice(height_axis, std::nullopt, std::nullopt, stride[0])
                                 .slice(width_axis, std::nullopt, std::nullopt, stride[1]);
  return at::conv2d(sampled.contiguous(input.suggest_memory_format()), weight, bias, at::IntArrayRef{1, 1},
                    at::IntArrayRef{0, 0}, at::IntArrayRef{1, 1}, groups);
}

}  // namespace limbeck::fused
