#include "limbeck/graph/passes/exchange/exchange_op.h"

namespace limbeck::passes {

bool exchange_op(graph::Graph& graph, const AcceptsNode& accepts, std::string_view op) {
  bool changed = false;
  for (const graph::NodeId id : graph.order()) {
    if (!accepts(graph, id)) continue;
    graph.edit(id).op = &graph::op_info(op);
    changed = true;
  }
  return changed;
}

}  // namespace limbeck::passes
