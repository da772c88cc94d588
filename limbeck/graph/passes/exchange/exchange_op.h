// What the passes of this folder share: nodes get another op of the same arguments.
#pragma once

#include <functional>
#include <string_view>

#include "limbeck/graph/graph.h"

namespace limbeck::passes {

using AcceptsNode = std::function<bool(const graph::Graph&, graph::NodeId)>;

/// Gives every node that `accepts` holds for the op named `op`, whose schema has the same arguments. Returns whether
/// there was one.
bool exchange_op(graph::Graph& graph, const AcceptsNode& accepts, std::string_view op);

}  // namespace limbeck::passes
