#include "limbeck/graph/passes/exchange/sample_pointwise.h"

#include <ATen/core/Tensor.h>

#include <algorithm>

#include "limbeck/graph/parameter_argument.h"
#include "limbeck/graph/passes/exchange/exchange_op.h"

namespace limbeck::passes {

namespace {

using graph::Argument;
using graph::Graph;
using graph::Node;
using graph::NodeId;

/// Whether a list argument of integers holds `accepts` for one of its elements.
template <class Accepts>
bool has_any(const Argument& argument, const Accepts& accepts) {
  const graph::ArgumentList* list = argument.list();
  if (list == nullptr) return accepts(argument);
  return std::any_of(list->begin(), list->end(), accepts);
}

bool is_strided_pointwise(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  if (!node.op->is("aten::conv2d")) return false;
  const auto argument = [&](const char* name) -> const Argument& { return node.arguments[node.op->slot(name)]; };
  const graph::Parameter* weight = graph::parameter_argument(graph, node, node.op->slot("weight"));
  if (weight == nullptr || weight->tensor.dim() != 4) return false;
  const bool is_pointwise = weight->tensor.size(2) == 1 && weight->tensor.size(3) == 1;
  const bool is_padded = has_any(argument("padding"), [](const Argument& a) { return a.as_int() != 0; });
  return is_pointwise && !is_padded && has_any(argument("stride"), [](const Argument& a) { return a.as_int() > 1; });
}

}  // namespace

bool sample_pointwise(Graph& graph) {
  return exchange_op(graph, is_strided_pointwise, "limbeck::strided_pointwise_conv2d");
}

}  // namespace limbeck::passes
