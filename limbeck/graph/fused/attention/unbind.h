// unbind for training: its gradient is not put together from parts that lie together already.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace limbeck::fused {

/// aten::unbind.int. Where the gradients of the parts are neighbours, theirs is a view of them instead of a stacked
/// copy.
std::vector<at::Tensor> unbind(const at::Tensor& tensor, int64_t axis);

/// Whether the tensors have one storage, one type, the same sizes and strides, and the same positive distance from each
/// to the next: then they are slices of a larger tensor. At least two tensors.
bool neighbours(const std::vector<at::Tensor>& tensors);

}  // namespace limbeck::fused
