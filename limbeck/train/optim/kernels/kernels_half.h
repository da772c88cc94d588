// The update rules on 16-bit parameters and states, with arithmetic in float32: plain code for all machines.
#pragma once

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include "limbeck/train/optim/kernels/kernels.h"

namespace limbeck::train::kernels {

UpdateKernels<c10::BFloat16, float> bfloat16_kernels();
UpdateKernels<c10::Half, float> half_kernels();

}  // namespace limbeck::train::kernels
