// Convolutions of patches as matrix products, for training.
//
//   conv2d(x, w[O, C, kh, kw], stride = [kh, kw])  ==>  limbeck::patch_conv2d(x, w, stride = [kh, kw])
#pragma once

#include "limbeck/graph/graph.h"

namespace limbeck::passes {

/// Exchanges the op of convolutions with one group, no padding, no dilation and a stride that is their kernel of at
/// least 8 x 8 pixels (fused/patch_conv2d.h says why). Idempotent. Returns whether anything changed.
bool use_patch_products(graph::Graph& graph);

}  // namespace limbeck::passes
