#include "limbeck/graph/passes/sample_pointwise.h"

#include <ATen/core/Tensor.h>

#include <algorithm>

namespace limbeck::passes {

namespace {

using graph::Argument;
using graph::Graph;
using graph::Node;

/// Whether a list argument of integers holds `accepts` for one of its elements.
template <class Accepts>
bool has_any(const Argument& argument, const Accepts& accepts) {
  const graph::ArgumentList* list = argument.list();
  if (list == nullptr) return accepts(argument);
  return std::any_of(list->begin(), list->end(), accepts);
}

bool is_strided_pointwise(const Graph& graph, const Node& node) {
  if (!node.op->is("aten::conv2d")) return false;
  const auto argument = [&](const char* name) -> const Argument& { return node.arguments[node.op->slot(name)]; };
  const graph::ValueId* value = argument("weight").value();
  const graph::Parameter* weight = value == nullptr ? nullptr : graph.as_parameter(*value);
  if (weight == nullptr || weight->tensor.dim() != 4) return false;
  const bool is_pointwise = weight->tensor.size(2) == 1 && weight->tensor.size(3) == 1;
  const bool is_padded = has_any(argument("padding"), [](const Argument& a) { return a.as_int() != 0; });
  return is_pointwise && !is_padded && has_any(argument("stride"), [](const Argument& a) { return a.as_int() > 1; });
}

}  // namespace

bool sample_pointwise(Graph& graph) {
  bool changed = false;
  for (const graph::NodeId id : graph.order()) {
    if (!is_strided_pointwise(graph, graph.node(id))) continue;
    graph.edit(id).op = &graph::op_info("limbeck::strided_pointwise_conv2d");  // of the same arguments
    changed = true;
  }
  return changed;
}

}  // namespace limbeck::passes
