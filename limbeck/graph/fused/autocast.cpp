#include "limbeck/graph/fused/autocast.h"

#include <ATen/autocast_mode.h>

namespace limbeck::fused {

at::Tensor as_autocast(const at::Tensor& tensor) {
  if (!tensor.defined() || !tensor.device().is_cpu() || !at::autocast::is_autocast_enabled(at::kCPU)) return tensor;
  return at::autocast::cached_cast(at::autocast::get_autocast_dtype(at::kCPU), tensor, at::kCPU);
}

}  // namespace limbeck::fused
