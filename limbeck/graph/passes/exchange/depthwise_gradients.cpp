#include "limbeck/graph/passes/exchange/depthwise_gradients.h"

#include <ATen/core/Tensor.h>

#include "limbeck/graph/parameter_argument.h"
#include "limbeck/graph/passes/exchange/exchange_op.h"

namespace limbeck::passes {

namespace {

using graph::Graph;
using graph::Node;
using graph::NodeId;

bool are_ones(const graph::Argument& argument) {
  const graph::ArgumentList* list = argument.list();
  if (list == nullptr) return argument.as_int() == 1;
  for (const graph::Argument& element : *list) {
    if (element.as_int() != 1) return false;
  }
  return true;
}

bool is_depthwise(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  if (!node.op->is("aten::conv2d")) return false;
  const graph::Parameter* weight = graph::parameter_argument(graph, node, node.op->slot("weight"));
  return weight != nullptr && weight->tensor.dim() == 4 && weight->tensor.size(1) == 1 && weight->tensor.size(0) > 1 &&
         node.arguments[node.op->slot("groups")].as_int() == weight->tensor.size(0) &&
         are_ones(node.arguments[node.op->slot("dilation")]);
}

}  // namespace

bool use_depthwise_gradients(Graph& graph) { return exchange_op(graph, is_depthwise, "limbeck::depthwise_conv2d"); }

}  // namespace limbeck::passes
