#include "limbeck/graph/parameter_argument.h"

namespace limbeck::graph {

const Parameter* parameter_argument(const Graph& graph, const Node& node, std::size_t slot) {
  const ValueId* value = slot < node.arguments.size() ? node.arguments[slot].value() : nullptr;
  return value == nullptr ? nullptr : graph.as_parameter(*value);
}

}  // namespace limbeck::graph
