// SGD of float32 weights that are kept as two halves: the upper 16 bits are a bfloat16 tensor, which is the parameter
// that the model sees, the lower 16 bits are the optimizer's. Nothing is lost and nothing is held twice.
#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <string_view>

#include "limbeck/train/optim/rules/sgd.h"

namespace limbeck::train {

/// The halves of float32 values; the upper one is truncated, not rounded.
struct SplitBf16 {
  at::Tensor top;       // bfloat16
  at::Tensor low_bits;  // int16
};
/// `values`: float32 on the CPU, any strides. Throws InvalidArgument for another dtype.
SplitBf16 split_bf16(const at::Tensor& values);
/// The float32 values whose halves these are.
at::Tensor join_bf16(const at::Tensor& top, const at::Tensor& low_bits);

/// One parameter with what the rule keeps of it; undefined state is made: low bits as zeros.
struct SplitSgdTensors {
  at::Tensor parameter;          // bfloat16
  at::Tensor gradient{};         // bfloat16; undefined: passed over
  at::Tensor low_bits{};         // int16, in and out
  at::Tensor momentum_buffer{};  // float32, in and out
  std::string_view name = {};    // of the parameter, for messages
};

/// sgd_step on the joined float32 values, with their bits. CPU only. Throws InvalidArgument where shapes or dtypes do
/// not fit, Unsupported for a sparse gradient or another device.
void split_sgd_step(std::span<SplitSgdTensors> tensors, const SgdRule& rule, double gradient_scale = 1);

}  // namespace limbeck::train
