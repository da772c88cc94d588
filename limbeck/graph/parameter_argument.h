// The parameter that an argument of a node is.
#pragma once

#include <cstddef>

#include "limbeck/graph/graph.h"

namespace limbeck::graph {

/// Null where the node has no such slot, or where a constant or another value stands in it.
const Parameter* parameter_argument(const Graph& graph, const Node& node, std::size_t slot);

}  // namespace limbeck::graph
