#include "limbeck/graph/capture/pt2/symbols.h"

namespace limbeck::capture {

using graph::IntExpr;

namespace {

void substitute(IntExpr& expr, const SymbolMap& values) {
  if (!expr.is_constant()) expr = expr.substitute(values);
}

void substitute(graph::Type& type, const SymbolMap& values) {
  if (auto* integer = std::get_if<graph::IntType>(&type.kind)) return substitute(integer->expr, values);
  graph::TensorType* tensor = type.tensor();
  if (tensor == nullptr) return;
  for (auto* sizes : {&tensor->sizes, &tensor->strides}) {
    if (!*sizes) continue;
    for (IntExpr& size : **sizes) substitute(size, values);
  }
}

}  // namespace

void substitute_symbols(graph::Graph& graph, const SymbolMap& values) {
  for (const graph::NodeId id : graph.order()) {
    graph::Node& node = graph.edit(id);
    for (graph::Type& type : node.types) substitute(type, values);
    for (graph::Argument& argument : node.arguments)
      graph::for_each_integer(argument, [&](IntExpr& expr) { substitute(expr, values); });
  }
  for (graph::InputSpec& input : graph.inputs) substitute(input.type, values);
  for (graph::Range& range : graph.ranges) {
    const auto found = values.find(range.symbol);
    if (found != values.end() && found->second.symbol_name()) range.symbol = *found->second.symbol_name();
  }
  for (graph::Check& check : graph.checks) {
    substitute(check.left, values);
    substitute(check.right, values);
  }
}

}  // namespace limbeck::capture
