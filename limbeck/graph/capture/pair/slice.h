// The graph of one mode.
#pragma once

#include <optional>
#include <string>

#include "limbeck/graph/graph.h"

namespace limbeck::capture {

/// `graph` as it runs in `mode`, for that mode only: `by_mode` resolved, flags set, what the mode does not need gone,
/// and with it dropout that passes its input on. Both modes' outputs are that mode's.
graph::Graph slice(const graph::Graph& graph, graph::Mode mode);

/// True when the op, with its flags as they stand, returns its input: dropout and drop_path with train=False.
bool passes_input_on(const graph::Node& node);

/// "" when both graphs are the same node for node: ops, arguments, types, scopes with call numbers, regions, outputs
/// and state writes. Parameters are compared by name, constants that neither state_dict has by value. Else the first
/// difference.
std::string first_difference(const graph::Graph& a, const graph::Graph& b);

}  // namespace limbeck::capture
