#include "limbeck/train/optim/kernels/kernels_half.h"

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include "limbeck/train/optim/kernels/kernel_bodies.h"

namespace limbeck::train::kernels {

UpdateKernels<c10::BFloat16, float> bfloat16_kernels() {
  return make_update_kernels<SingleLane<c10::BFloat16, float>, c10::BFloat16, float>();
}

UpdateKernels<c10::Half, float> half_kernels() {
  return make_update_kernels<SingleLane<c10::Half, float>, c10::Half, float>();
}

}  // namespace limbeck::train::kernels
