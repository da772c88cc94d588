// Convolutions of which every pixel is read once: kernel and stride are the same, as in the patch embedding of vision
// transformers (Dosovitskiy et al. 2021, arXiv:2010.11929).
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace limbeck::fused {

/// conv2d with weight [O, C, KH, KW], stride [KH, KW], no padding, no dilation and one group, as one matrix product of
/// patches. input [N, C, H, W], H at least KH and W at least KW; any dtype and device, autocast as conv2d has it. The
/// result is channels_last where it has more than one channel. Why: the libraries' weight gradients of such large
/// kernels are slow, in bfloat16 more than twenty times the product's.
at::Tensor patch_conv2d(const at::Tensor& input, const at::Tensor& weight, const std::optional<at::Tensor>& bias);

}  // namespace limbeck::fused
