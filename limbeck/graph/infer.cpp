#include "limbeck/graph/infer.h"

#include "limbeck/core/error.h"
#include "limbeck/graph/dry_run.h"

namespace limbeck::graph {

namespace {

std::vector<Type> types_of_by_mode(const Graph& graph, const Node& node) {
  for (const Argument& argument : node.arguments) {
    if (const ValueId* value = argument.value()) return {graph.type(*value)};
  }
  fail<InvalidArgument>("[graph] limbeck::by_mode in '{}' has no value in either mode", graph.scope(node.scope).path);
}

std::vector<Type> types_of_input(const Graph& graph, const Node& node) {
  const auto index = node.arguments.at(0).as_int();
  LIMBECK_CHECK(index && *index >= 0 && static_cast<std::size_t>(*index) < graph.inputs.size(),
                "[graph] limbeck::input reads an input that does not exist");
  return {graph.inputs[static_cast<std::size_t>(*index)].type};
}

bool runs_under_autocast(const Graph& graph, const Node& node) {
  const auto& autocast = graph.regions()[node.region].autocast;
  return autocast && autocast->enabled;
}

/// What a new type does not say, the old one of the same shape still does.
void keep_annotations(Type& type, const Type& old) {
  TensorType* tensor = type.tensor();
  const TensorType* previous = old.tensor();
  if (tensor == nullptr || previous == nullptr) return;
  tensor->requires_grad = previous->requires_grad;
  if (tensor->sizes == previous->sizes && tensor->dtype == previous->dtype && !tensor->strides) {
    tensor->strides = previous->strides;
  }
}

}  // namespace

std::vector<Type> infer_types(const Graph& graph, const Node& node) {
  if (node.op->is("limbeck::input")) return types_of_input(graph, node);
  if (node.op->is("limbeck::parameter")) return {type_of_tensor(graph.parameter(*node.arguments.at(0).text()).tensor)};
  if (node.op->is("limbeck::by_mode")) return types_of_by_mode(graph, node);
  if (node.op->traits.shape != nullptr && !runs_under_autocast(graph, node)) {
    std::vector<Type> types = node.op->traits.shape(graph, node);
    if (!types.empty()) return types;
  }
  return types_by_running(graph, node);
}

bool infer_all_types(Graph& graph) {
  bool changed = false;
  for (const NodeId id : graph.order()) {
    std::vector<Type> types = infer_types(graph, graph.node(id));
    const std::vector<Type>& old = graph.node(id).types;
    LIMBECK_CHECK(types.size() == old.size(), "[graph] {} in '{}' has {} outputs now, and had {}",
                  graph.node(id).op->name, graph.scope(graph.node(id).scope).path, types.size(), old.size());
    for (std::size_t output = 0; output < types.size(); ++output) keep_annotations(types[output], old[output]);
    if (types == old) continue;
    graph.edit(id).types = std::move(types);
    changed = true;
  }
  return changed;
}

int64_t macs_of(const Graph& graph, const Node& node, const Bindings& bindings) {
  return node.op->traits.macs == nullptr ? 0 : node.op->traits.macs(graph, node).evaluate(bindings);
}

int64_t count_macs(const Graph& graph, Mode mode, const Bindings& bindings) {
  int64_t sum = 0;
  for (const NodeId id : needed_nodes(graph, mode, [mode](ScopeId) { return mode; })) {
    sum += macs_of(graph, graph.node(id), bindings);
  }
  return sum;
}

}  // namespace limbeck::graph
