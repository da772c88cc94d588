#include "limbeck/graph/fused/attention/unbind.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

namespace limbeck::fused {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

/// Neighbours as one tensor with a new axis, without a copy.
at::Tensor joined(const variable_list& parts, int64_t axis) {
  std::vector<int64_t> sizes = parts[0].sizes().vec(), strides = parts[0].strides().vec();
  sizes.insert(sizes.begin() + axis, static_cast<int64_t>(parts.size()));
  strides.insert(strides.begin() + axis, parts[1].storage_offset() - parts[0].storage_offset());
  return parts[0].as_strided(sizes, strides);
}

struct UnbindFunction : torch::autograd::Function<UnbindFunction> {
  static variable_list forward(AutogradContext* context, const Variable& tensor, int64_t axis) {
    context->saved_data["axis"] = axis;
    context->saved_data["part"] = tensor.select(axis, 0).detach();  // what a missing gradient is zeros like
    return tensor.unbind(axis);
  }

  static variable_list backward(AutogradContext* context, const variable_list& part_gradients) {
    const int64_t axis = context->saved_data["axis"].toInt();
    variable_list parts = part_gradients;
    const at::Tensor part = context->saved_data["part"].toTensor();
    for (at::Tensor& gradient : parts) {
      if (!gradient.defined()) gradient = at::zeros_like(part);
    }
    const bool is_whole = !at::GradMode::is_enabled() && neighbours(parts);
    return {is_whole ? joined(parts, axis) : at::stack(parts, axis), Variable()};
  }
};

}  // namespace

bool neighbours(const std::vector<at::Tensor>& tensors) {
  if (tensors.size() < 2) return false;
  const at::Tensor& first = tensors[0];
  const int64_t distance = tensors[1].storage_offset() - first.storage_offset();
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const at::Tensor& next = tensors[i];
    if (!next.is_alias_of(first) || next.scalar_type() != first.scalar_type() || next.sizes() != first.sizes() ||
        next.strides() != first.strides() ||
        next.storage_offset() != first.storage_offset() + static_cast<int64_t>(i) * distance)
      return false;
  }
  return distance > 0;
}

std::vector<at::Tensor> unbind(const at::Tensor& tensor, int64_t axis) {
  if (!tensor.requires_grad() || !at::GradMode::is_enabled()) return tensor.unbind(axis);
  return UnbindFunction::apply(tensor, axis < 0 ? axis + tensor.dim() : axis);
}

}  // namespace limbeck::fused
