// Attention by kernels of our own, for training.
//
//   scaled_dot_product_attention(q, k, v)  ==>  limbeck::scaled_dot_product_attention(q, k, v)
#pragma once

#include "limbeck/graph/graph.h"

namespace limbeck::passes {

/// Exchanges the op of attention without mask, dropout, causal order and grouped heads; outputs and gradients stay
/// equal to rounding. Idempotent. Returns whether anything changed.
bool use_own_attention(graph::Graph& graph);

}  // namespace limbeck::passes
