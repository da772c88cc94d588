// Scaled dot-product attention for training (Vaswani et al. 2017, arXiv:1706.03762, eq. 1): the library's forward, own
// gradients where they are faster.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "limbeck/core/cpu.h"

namespace limbeck::fused {

/// softmax(scale * query key^T) value, without mask, dropout and grouped heads. query [B, H, Q, D], key and value
/// [B, H, K, D], any dtype, device and strides that aten::scaled_dot_product_attention takes; autocast as that has it.
/// scale: null: 1 / sqrt(D). Gradients in float32 and bfloat16 on the CPU, with AVX2, up to 384 keys and 256 wide, come
/// from own kernels; a gradient of them throws Unsupported, as the library's does. Everything else is ATen's.
at::Tensor attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                     std::optional<double> scale);

struct AttentionResult {
  at::Tensor output;    // as query
  at::Tensor log_sums;  // [B, H, Q], float32: log of the sum over keys of e^(scale * product)
};

struct AttentionGradients {
  at::Tensor query, key, value;
};

/// The gradients by own kernels, of tensors that they take; arithmetic in float32. Where query, key and value are
/// neighbours in one tensor, as `unbind` makes them, so are their gradients; else each lies in the order [B, rows, H,
/// D]. `isa` is the tier of the kernel; the bits are the same for any number of threads.
AttentionGradients attention_backward(const at::Tensor& output_gradient, const at::Tensor& query, const at::Tensor& key,
                                      const at::Tensor& value, const AttentionResult& result, double scale,
                                      core::Isa isa = core::active_isa());

}  // namespace limbeck::fused
