// Which ops autocast computes in bfloat16 or float16 on the CPU.
#pragma once

#include "limbeck/graph/op.h"

namespace limbeck {

/// Convolutions and matrix products, in any overload, and what limbeck runs in their place: their float32 tensors are
/// cast before the call.
bool is_low_precision_op(const graph::OpInfo& op);

}  // namespace limbeck
