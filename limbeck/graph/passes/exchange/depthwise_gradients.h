// Depthwise convolutions with gradients of our own, for training.
//
//   conv2d(x, w[C, 1, kh, kw], groups = C)  ==>  limbeck::depthwise_conv2d(x, w, groups = C)
#pragma once

#include "limbeck/graph/graph.h"

namespace limbeck::passes {

/// Exchanges the op of 2-D convolutions with one filter a channel and no dilation; their forward keeps its bits, their
/// gradients are equal to rounding. Idempotent. Returns whether anything changed.
bool use_depthwise_gradients(graph::Graph& graph);

}  // namespace limbeck::passes
