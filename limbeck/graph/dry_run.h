// Internal to limbeck/graph: types of a node's outputs found by running its op's CPU kernel on zeros.
#pragma once

#include <vector>

#include "limbeck/graph/graph.h"

namespace limbeck::graph {

/// Runs `node` once with every symbol at a base value, once more with each symbol moved, fits output sizes as linear
/// expressions of the symbols and tests the fit at another point. Mode arguments are taken as they stand, the node's
/// autocast region holds, the default generator's state is kept. Throws InvalidArgument when the kernel refuses the
/// arguments, Unsupported when sizes depend on data or are not linear.
std::vector<Type> types_by_running(const Graph& graph, const Node& node);

}  // namespace limbeck::graph
