// Types of a node's outputs: from the op table's shape rule, else by running the op's CPU kernel on zeros.
#pragma once

#include <vector>

#include "limbeck/graph/graph.h"

namespace limbeck::graph {

/// Output types of `node` in `graph` from its arguments' types. Without a rule the op runs on zeros at two values of
/// each symbol (within the graph's ranges), and sizes are fitted as linear expressions. Throws InvalidArgument with op
/// and scope when the arguments do not fit, Unsupported when sizes do not follow linearly.
std::vector<Type> infer_types(const Graph& graph, const Node& node);

/// Recomputes the types of all nodes in order after an edit. Returns whether any changed.
bool infer_all_types(Graph& graph);

/// Solves the symbols of the graph's inputs from actual sizes; checks sizes, ranges and the graph's checks.
/// Throws InvalidArgument naming input, axis, what came, what was expected, and how to export for other sizes.
Bindings bind_symbols(const Graph& graph, const std::vector<std::vector<int64_t>>& input_sizes);

/// Multiply-adds of one node for given symbol values, by the op table's rule; 0 for ops without one.
int64_t macs_of(const Graph& graph, const Node& node, const Bindings& bindings);

/// Multiply-adds of one run for given symbol values: the sum over the nodes that `mode` needs.
int64_t count_macs(const Graph& graph, Mode mode, const Bindings& bindings);

}  // namespace limbeck::graph
