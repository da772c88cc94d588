#include "limbeck/graph/passes/exchange/patch_products.h"

#include <ATen/core/Tensor.h>

#include "limbeck/graph/parameter_argument.h"
#include "limbeck/graph/passes/exchange/exchange_op.h"

namespace limbeck::passes {

namespace {

using graph::Argument;
using graph::Graph;
using graph::Node;
using graph::NodeId;

/// Pixels along a side from which rearranging the input costs less than the library's gradients.
constexpr int64_t kSmallestKernel = 8;

/// Whether an argument of one or two integers means [height, width].
bool is_pair(const Argument& argument, int64_t height, int64_t width) {
  const graph::ArgumentList* list = argument.list();
  if (list == nullptr) return argument.as_int() == height && argument.as_int() == width;
  return !list->empty() && list->front().as_int() == height && list->back().as_int() == width;
}

bool is_patch_convolution(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  if (!node.op->is("aten::conv2d")) return false;
  const auto argument = [&](const char* name) -> const Argument& { return node.arguments[node.op->slot(name)]; };
  const graph::Parameter* weight = graph::parameter_argument(graph, node, node.op->slot("weight"));
  if (weight == nullptr || weight->tensor.dim() != 4) return false;
  const int64_t height = weight->tensor.size(2), width = weight->tensor.size(3);
  return height >= kSmallestKernel && width >= kSmallestKernel && is_pair(argument("stride"), height, width) &&
         is_pair(argument("padding"), 0, 0) && is_pair(argument("dilation"), 1, 1) && argument("groups").as_int() == 1;
}

}  // namespace

bool use_patch_products(Graph& graph) { return exchange_op(graph, is_patch_convolution, "limbeck::patch_conv2d"); }

}  // namespace limbeck::passes
