#include "limbeck/graph/passes/depthwise_gradients.h"

#include <ATen/core/Tensor.h>

namespace limbeck::passes {

namespace {

using graph::Graph;
using graph::Node;

bool are_ones(const graph::Argument& argument) {
  const graph::ArgumentList* list = argument.list();
  if (list == nullptr) return argument.as_int() == 1;
  for (const graph::Argument& element : *list) {
    if (element.as_int() != 1) return false;
  }
  return true;
}

bool is_depthwise(const Graph& graph, const Node& node) {
  if (!node.op->is("aten::conv2d")) return false;
  const graph::ValueId* value = node.arguments[node.op->slot("weight")].value();
  const graph::Parameter* weight = value == nullptr ? nullptr : graph.as_parameter(*value);
  return weight != nullptr && weight->tensor.dim() == 4 && weight->tensor.size(1) == 1 && weight->tensor.size(0) > 1 &&
         node.arguments[node.op->slot("groups")].as_int() == weight->tensor.size(0) &&
         are_ones(node.arguments[node.op->slot("dilation")]);
}

}  // namespace

bool use_depthwise_gradients(Graph& graph) {
  bool changed = false;
  for (const graph::NodeId id : graph.order()) {
    if (!is_depthwise(graph, graph.node(id))) continue;
    graph.edit(id).op = &graph::op_info("limbeck::depthwise_conv2d");  // of the same arguments
    changed = true;
  }
  return changed;
}

}  // namespace limbeck::passes
