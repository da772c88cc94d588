#include "limbeck/train/optim/kernels/dense_arrays.h"

#include <ATen/ops/empty_like.h>

namespace limbeck::train {

bool has_same_order(const at::Tensor& a, const at::Tensor& b) {
  for (int64_t axis = 0; axis < a.dim(); ++axis) {
    if (a.size(axis) > 1 && a.stride(axis) != b.stride(axis)) return false;
  }
  return true;
}

void DenseArrays::begin(const at::Tensor& parameter) {
  order_ = parameter.is_non_overlapping_and_dense() ? parameter : at::empty_like(parameter);
}

const at::Tensor& DenseArrays::ordered(const at::Tensor& tensor) {
  const bool lies_so = has_same_order(tensor, order_) && tensor.is_non_overlapping_and_dense();
  kept_.push_back(lies_so ? tensor : at::empty_like(order_, tensor.options()).copy_(tensor));
  return kept_.back();
}

const at::Tensor& DenseArrays::written(const at::Tensor& tensor) {
  const at::Tensor& array = ordered(tensor);
  if (array.is_same(tensor)) {
    tensor.unsafeGetTensorImpl()->bump_version();
  } else {
    copies_.emplace_back(tensor, array);
  }
  return array;
}

void DenseArrays::finish() {
  for (const auto& [tensor, array] : copies_) tensor.copy_(array);
  copies_.clear();
  kept_.clear();
}

}  // namespace limbeck::train
