// unbind before attention, for training.
//
//   q, k, v = unbind(x); attention(q, k, v)  ==>  q, k, v = limbeck::unbind(x); attention(q, k, v)
#pragma once

#include "limbeck/graph/graph.h"

namespace limbeck::passes {

/// Exchanges the op of every unbind whose three values are query, key and value of a
/// limbeck::scaled_dot_product_attention (fused/attention/unbind.h says why), so it runs after use_own_attention.
/// Idempotent. Returns whether anything changed.
bool use_own_unbind(graph::Graph& graph);

}  // namespace limbeck::passes
