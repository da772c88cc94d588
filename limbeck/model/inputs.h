// From what the caller passes to a graph's inputs in order.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "limbeck/graph/graph.h"
#include "limbeck/model/model.h"

namespace limbeck {

/// One tensor per input of `graph`, in its order (undefined for inputs that are no tensors). Unnamed tensors take the
/// places in order, named ones their own. Throws InvalidArgument for a missing, unknown or doubled input, and for an
/// element type or device that is not the graph's (under autocast its own type is taken for float32). Sizes are checked
/// where symbols are bound.
std::vector<at::Tensor> arrange_inputs(const graph::Graph& graph, const Inputs& inputs);

/// Sizes of one sample of the first input that is a tensor, without its batch axis, such as [3, 224, 224]; nothing
/// where one of them is open.
std::optional<std::vector<int64_t>> sample_sizes(const graph::Graph& graph);

}  // namespace limbeck
