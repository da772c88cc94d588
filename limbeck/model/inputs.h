// From what the caller passes to a graph's inputs in order.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "limbeck/graph/graph.h"
#include "limbeck/model/model.h"

namespace limbeck {

/// One tensor per input of `graph`, in its order (undefined for inputs that are no tensors). Unnamed tensors take the
/// places in order, named ones their own. Throws InvalidArgument for a missing, unknown or doubled input, and for an
/// element type or device that is not the graph's. Sizes are checked where symbols are bound.
std::vector<at::Tensor> arrange_inputs(const graph::Graph& graph, const Inputs& inputs);

}  // namespace limbeck
