#include "limbeck/graph/passes/exchange/own_unbind.h"

#include <set>

#include "limbeck/graph/passes/exchange/exchange_op.h"

namespace limbeck::passes {

namespace {

using graph::Graph;
using graph::Node;
using graph::NodeId;

/// The nodes of which the first three values are an attention's query, key and value.
std::set<NodeId> attention_sources(const Graph& graph) {
  std::set<NodeId> sources;
  for (const NodeId id : graph.order()) {
    const Node& node = graph.node(id);
    if (!node.op->is("limbeck::scaled_dot_product_attention")) continue;
    const graph::ValueId* query = node.arguments[0].value();
    const graph::ValueId* key = node.arguments[1].value();
    const graph::ValueId* value = node.arguments[2].value();
    if (query == nullptr || key == nullptr || value == nullptr) continue;
    const bool is_in_order = query->output == 0 && key->output == 1 && value->output == 2;
    if (is_in_order && query->node == key->node && key->node == value->node) sources.insert(query->node);
  }
  return sources;
}

}  // namespace

bool use_own_unbind(Graph& graph) {
  const std::set<NodeId> sources = attention_sources(graph);
  const auto is_source = [&](const Graph& all, NodeId id) {
    return all.node(id).op->is("aten::unbind.int") && all.node(id).types.size() == 3 && sources.count(id) > 0;
  };
  return exchange_op(graph, is_source, "limbeck::unbind");
}

}  // namespace limbeck::passes
