// Ops whose output element depends on the input elements at the same (broadcast) position alone.

#include "limbeck/graph/ops/node_view.h"
#include "limbeck/graph/ops/rows.h"

namespace limbeck::graph {

namespace {

/// Name of the first argument: "self" of nearly all ops, "input" of some.
std::string_view first_argument(const NodeView& view) { return view.node().op->find_slot("self") ? "self" : "input"; }

std::vector<Type> shape_same(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  const TensorType& self = view.tensor(first_argument(view));
  return {tensor_like(self, *self.sizes)};
}

/// As shape_same; integers become floating-point.
std::vector<Type> shape_floating(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  const TensorType& self = view.tensor(first_argument(view));
  return {tensor_like(self, *self.sizes, to_floating(self.dtype))};
}

std::vector<Type> shape_truth(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  const TensorType& self = view.tensor(first_argument(view));
  return {tensor_like(self, *self.sizes, at::kBool)};
}

/// Broadcast of the tensors among `names`, of `dtype`, on the device of the first that has axes.
std::vector<Type> broadcast_types(const NodeView& view, const std::vector<std::string_view>& names,
                                  at::ScalarType dtype) {
  Sizes sizes;
  std::optional<at::Device> device;
  for (const std::string_view name : names) {
    if (!view.has(name) || view.argument(name).value() == nullptr) continue;
    const TensorType& tensor = view.tensor(name);
    const auto joined = broadcast(sizes, *tensor.sizes);
    if (!joined) return {};
    sizes = *joined;
    if (!device || (device->is_cpu() && !tensor.sizes->empty())) device = tensor.device;
  }
  return {tensor_on(device.value_or(at::kCPU), std::move(sizes), dtype)};
}

std::vector<Type> shape_binary(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  return broadcast_types(view, {"self", "other"}, promoted_dtype(view, {"self", "other"}));
}

std::vector<Type> shape_true_division(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  return broadcast_types(view, {"self", "other"}, to_floating(promoted_dtype(view, {"self", "other"})));
}

/// div with a rounding mode: "floor" and "trunc" keep integers.
std::vector<Type> shape_rounded_division(const Graph& graph, const Node& node) {
  return NodeView(graph, node).has("rounding_mode") ? shape_binary(graph, node) : shape_true_division(graph, node);
}

std::vector<Type> shape_comparison(const Graph& graph, const Node& node) {
  return broadcast_types({graph, node}, {"self", "other"}, at::kBool);
}

std::vector<Type> shape_power(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  return broadcast_types(view, {"self", "exponent"}, promoted_dtype(view, {"self", "exponent"}));
}

std::vector<Type> shape_where(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  return broadcast_types(view, {"condition", "self", "other"}, promoted_dtype(view, {"self", "other"}));
}

std::vector<Type> shape_masked_fill(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  return broadcast_types(view, {"self", "mask"}, view.tensor("self").dtype);
}

std::vector<Type> shape_clamp(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  return broadcast_types(view, {"self", "min", "max"}, promoted_dtype(view, {"self", "min", "max"}));
}

std::vector<Type> shape_prelu(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  return {tensor_like(view.tensor("self"), view.sizes("self"))};
}

std::vector<Type> shape_lerp(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  return broadcast_types(view, {"self", "end", "weight"}, view.tensor("self").dtype);
}

std::vector<Type> shape_ternary_product(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  return broadcast_types(view, {"self", "tensor1", "tensor2"}, promoted_dtype(view, {"self", "tensor1", "tensor2"}));
}

void add(TraitsTable& table, std::initializer_list<const char*> ops, ShapeRule rule) {
  for (const char* op : ops) table["aten::" + std::string(op)] = {.is_elementwise = true, .shape = rule};
}

}  // namespace

void add_elementwise_rows(TraitsTable& table) {
  add(table,
      {"relu",        "relu6",    "leaky_relu",  "elu",        "selu",     "celu",       "gelu",       "silu",
       "mish",        "hardtanh", "hardsigmoid", "hardswish",  "softplus", "softshrink", "hardshrink", "threshold",
       "log_sigmoid", "abs",      "neg",         "sign",       "square",   "floor",      "ceil",       "round",
       "trunc",       "frac",     "bitwise_not", "nan_to_num", "positive"},
      shape_same);
  add(table,
      {"sigmoid", "tanh", "exp", "exp2", "expm1", "log",  "log2", "log10", "log1p", "sqrt", "rsqrt", "reciprocal",
       "sin",     "cos",  "tan", "asin", "acos",  "atan", "sinh", "cosh",  "erf",   "erfc", "logit"},
      shape_floating);
  add(table, {"logical_not", "isnan", "isinf", "isfinite"}, shape_truth);
  add(table,
      {"add.Tensor", "add.Scalar", "sub.Tensor", "sub.Scalar", "rsub.Tensor", "rsub.Scalar", "mul.Tensor", "mul.Scalar",
       "maximum", "minimum", "remainder.Tensor", "remainder.Scalar", "fmod.Tensor", "fmod.Scalar", "floor_divide",
       "bitwise_and.Tensor", "bitwise_or.Tensor", "bitwise_xor.Tensor"},
      shape_binary);
  add(table, {"div.Tensor", "div.Scalar", "atan2"}, shape_true_division);
  add(table, {"div.Tensor_mode", "div.Scalar_mode"}, shape_rounded_division);
  add(table,
      {"eq.Tensor", "eq.Scalar", "ne.Tensor", "ne.Scalar", "lt.Tensor", "lt.Scalar", "le.Tensor", "le.Scalar",
       "gt.Tensor", "gt.Scalar", "ge.Tensor", "ge.Scalar", "logical_and", "logical_or", "logical_xor"},
      shape_comparison);
  add(table, {"pow.Tensor_Scalar", "pow.Tensor_Tensor", "pow.Scalar"}, shape_power);
  add(table, {"where.self", "where.ScalarSelf", "where.ScalarOther"}, shape_where);
  add(table, {"masked_fill.Scalar", "masked_fill.Tensor"}, shape_masked_fill);
  add(table, {"clamp", "clamp.Tensor", "clamp_min", "clamp_max"}, shape_clamp);
  add(table, {"prelu"}, shape_prelu);
  add(table, {"lerp.Scalar", "lerp.Tensor"}, shape_lerp);
  add(table, {"addcmul", "addcdiv"}, shape_ternary_product);
}

}  // namespace limbeck::graph
