// Tensors as plain arrays with the elements in one common order. Dense tensors with equal strides (channels_last ones
// too) lie so already; of others a copy is made, and copied back if it is written. Used by the update rules alone.
#pragma once

#include <ATen/core/Tensor.h>

#include <utility>
#include <vector>

namespace limbeck::train {

/// Arrays of the tensors that belong to one parameter after the other. Keeps copies until `finish`.
class DenseArrays {
 public:
  /// The element order of the tensors asked for next: the parameter's own where it is dense.
  void begin(const at::Tensor& parameter);

  /// The elements of a tensor of the parameter's shape, null for an undefined one. Valid until `finish`.
  template <class T>
  const T* read(const at::Tensor& tensor) {
    return tensor.defined() ? static_cast<const T*>(ordered(tensor).const_data_ptr()) : nullptr;
  }

  /// The same to be written; autograd is told of the change.
  template <class T>
  T* write(const at::Tensor& tensor) {
    return tensor.defined() ? static_cast<T*>(written(tensor).mutable_data_ptr()) : nullptr;
  }

  /// Copies back what was written to copies.
  void finish();

 private:
  const at::Tensor& ordered(const at::Tensor& tensor);
  const at::Tensor& written(const at::Tensor& tensor);

  at::Tensor order_;  // a dense tensor with the common strides
  std::vector<at::Tensor> kept_;
  std::vector<std::pair<at::Tensor, at::Tensor>> copies_;  // tensor, its dense copy
};

/// Whether each element lies at the same distance from the first in both tensors of one shape.
bool has_same_order(const at::Tensor& a, const at::Tensor& b);

}  // namespace limbeck::train
