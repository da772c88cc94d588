#include "limbeck/graph/passes/exchange/own_attention.h"

#include "limbeck/graph/passes/exchange/exchange_op.h"

namespace limbeck::passes {

namespace {

using graph::Graph;
using graph::Node;
using graph::NodeId;

bool is_plain_attention(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  if (!node.op->is("aten::scaled_dot_product_attention")) return false;
  const auto argument = [&](const char* name) -> const graph::Argument& { return node.arguments[node.op->slot(name)]; };
  return argument("attn_mask").is_none() && argument("dropout_p").as_double() == 0.0 &&
         argument("is_causal").as_bool() == false && argument("enable_gqa").as_bool() == false;
}

}  // namespace

bool use_own_attention(Graph& graph) {
  return exchange_op(graph, is_plain_attention, "limbeck::scaled_dot_product_attention");
}

}  // namespace limbeck::passes
