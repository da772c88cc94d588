#include "limbeck/graph/fused/patch_conv2d.h"

#include <ATen/ATen.h>

namespace limbeck::fused {

at::Tensor patch_conv2d(const at::Tensor& input, const at::Tensor& weight, const std::optional<at::Tensor>& bias) {
  const int64_t height = weight.size(2), width = weight.size(3);
  const int64_t rows = input.size(2) / height, columns = input.size(3) / width;
  const at::Tensor pixels = input.narrow(2, 0, rows * height)
                                .narrow(3, 0, columns * width)
                                .unflatten(3, {columns, width})
                                .unflatten(2, {rows, height});  // [N, C, rows, KH, columns, KW]
  const bool is_channels_last = input.suggest_memory_format() == at::MemoryFormat::ChannelsLast;
  const at::Tensor patches = is_channels_last ? pixels.permute({0, 2, 4, 3, 5, 1}) : pixels.permute({0, 2, 4, 1, 3, 5});
  const at::Tensor filters = is_channels_last ? weight.permute({0, 2, 3, 1}) : weight;
  return at::linear(patches.flatten(3), filters.flatten(1), bias).permute({0, 3, 1, 2});
}

}  // namespace limbeck::fused
