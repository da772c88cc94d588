// 1x1 convolutions with a stride, for training.
//
//   conv2d(x, w[O, C, 1, 1], stride = s)  ==>  limbeck::strided_pointwise_conv2d(x, w, stride = s)
#pragma once

#include "limbeck/graph/graph.h"

namespace limbeck::passes {

/// Exchanges the op of 1x1 convolutions with a stride above 1 and no padding (fused/strided_pointwise.h says why).
/// Idempotent. Returns whether anything changed.
bool sample_pointwise(graph::Graph& graph);

}  // namespace limbeck::passes
