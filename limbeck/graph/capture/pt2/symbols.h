// Renaming the symbols of a graph.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "limbeck/graph/graph.h"

namespace limbeck::capture {

using SymbolMap = std::map<std::string, graph::IntExpr, std::less<>>;

/// Replaces symbols everywhere: types, arguments, inputs, ranges, checks.
void substitute_symbols(graph::Graph& graph, const SymbolMap& values);

}  // namespace limbeck::capture
