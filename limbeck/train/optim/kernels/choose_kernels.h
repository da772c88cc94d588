// Which kernels run on a parameter: by its element type, and by this process's instruction sets. Used by the rules
// alone.
#pragma once

#include <ATen/core/Tensor.h>

#include "limbeck/train/optim/kernels/kernels.h"
#include "limbeck/train/optim/kernels/kernels_half.h"

namespace limbeck::train {

/// Whether our kernels take a parameter; those on other devices, and of other float types, go through ATen's operators.
bool has_kernels(const at::Tensor& parameter);

/// The best float32 kernels that core::is_isa_enabled permits.
const kernels::UpdateKernels<float, float>& float_kernels();
kernels::SplitSgd split_sgd_kernel();

/// Calls visit(UpdateKernels<T, C>) with the kernels of an element type for which has_kernels holds.
template <class Visit>
decltype(auto) visit_kernels(at::ScalarType type, const Visit& visit) {
  switch (type) {
    case at::kDouble:
      return visit(kernels::portable_double_kernels());
    case at::kBFloat16:
      return visit(kernels::bfloat16_kernels());
    case at::kHalf:
      return visit(kernels::half_kernels());
    default:
      return visit(float_kernels());
  }
}

}  // namespace limbeck::train
