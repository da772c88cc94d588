// The verifier: what must hold for every graph, checked after capture, after reading a file and after each pass.
#pragma once

#include <string>
#include <vector>

#include "limbeck/graph/graph.h"

namespace limbeck::graph {

/// Findings, empty when the graph is sound: definitions before uses, one argument per slot and of the slot's kind,
/// types for all outputs, unique names, existing parameters, buffers, scopes and regions, symbols that inputs bind,
/// outputs that fit their trees, state writes of the buffer's shape. Each finding names node, op and scope.
std::vector<std::string> find_faults(const Graph& graph);

/// Throws InternalError with the first findings; `when` says after what ("after fold_conv_bn").
void verify(const Graph& graph, const std::string& when);

}  // namespace limbeck::graph
