#include "limbeck/graph/capture/decomposed/decomposed.h"

#include <algorithm>
#include <set>

#include "limbeck/core/error.h"
#include "limbeck/graph/builder.h"

namespace limbeck::capture {

using graph::Argument;
using graph::Node;
using graph::NodeId;
using graph::ValueId;

namespace {

/// Dropout in eval mode, or with p = 0, becomes a clone in the scope of its module.
void drop_clones_of_dropout(Export& source) {
  graph::Graph& graph = source.graph;
  for (const NodeId id : std::vector<NodeId>(graph.order())) {
    const Node& node = graph.node(id);
    const std::string& type = graph.scope(node.scope).type;
    if (!node.op->is("aten::clone") || type.find("Dropout") == std::string::npos ||
        node.arguments[0].value() == nullptr)
      continue;
    source.lost_dropout.insert(graph.scope(node.scope).path);
    graph.replace_all_uses({id, 0}, *node.arguments[0].value());
  }
}

/// Nodes of forward take `value` without its gradient. Outputs keep it: a loss on them must reach the parameters.
void detach_uses(graph::Graph& graph, ValueId value) {
  const std::vector<NodeId> users = graph.users(value);
  const Node& made_by = graph.node(value.node);
  Node detach{.op = &graph::op_info("aten::detach")};
  detach.arguments = {value};
  detach.types = {graph.type(value)};
  detach.scope = made_by.scope;
  detach.call = made_by.call;
  detach.outer_calls = made_by.outer_calls;
  const ValueId detached{graph.insert_after(value.node, std::move(detach)), 0};
  for (const NodeId user : users) {
    for (Argument& argument : graph.edit(user).arguments)
      graph::map_values(argument, [&](ValueId used) { return used == value ? detached : used; });
  }
}

/// run_decompositions() forgets torch.no_grad(). What a model writes to a buffer has no gradient in training (it would
/// keep the last step's graph alive), so it has none where forward uses it either.
void detach_written_values(Export& source) {
  graph::Graph& graph = source.graph;
  std::set<ValueId> seen;
  for (const graph::StateWrite& write : graph.state_writes) {
    const graph::TensorType* type = graph.type(write.value).tensor();
    if (type == nullptr || !c10::isFloatingType(type->dtype) || graph.users(write.value).empty()) continue;
    if (!seen.insert(write.value).second) continue;
    source.notes.push_back(fmt::format(
        "run_decompositions() forgets torch.no_grad(): %{}, which is written to the buffer '{}', is taken to have no "
        "gradient where forward uses it. Capture the export before run_decompositions() if it has one.",
        graph.name(write.value), write.buffer));
    detach_uses(graph, write.value);
  }
}

}  // namespace

std::optional<ValueId> Raiser::operand(ValueId value, std::size_t slot) const {
  const ValueId* found = graph_.node(value.node).arguments[slot].value();
  return found == nullptr ? std::nullopt : std::optional(*found);
}

const graph::Sizes* Raiser::sizes(ValueId value) const {
  const graph::TensorType* type = graph_.type(value).tensor();
  return type == nullptr || !type->sizes ? nullptr : &*type->sizes;
}

bool Raiser::is_used_once(ValueId value) const { return graph_.users(value).size() == 1 && !graph_.is_exported(value); }

void Raiser::replace(NodeId position, ValueId old_value, const char* op,
                     const std::vector<std::pair<std::string, Argument>>& arguments, std::size_t num_outputs) {
  const Node& old = graph_.node(position);
  Node made{.op = &graph::op_info(op)};
  made.arguments = graph::complete_arguments(*made.op, {}, arguments);
  made.types.assign(num_outputs, graph_.type(old_value));
  made.scope = old.scope;
  made.call = old.call;
  made.outer_calls = old.outer_calls;
  made.region = old.region;
  const std::string trace = source_.trace(position);
  const NodeId id = graph_.insert_before(position, std::move(made));
  source_.set_trace(id, trace);
  graph_.replace_all_uses(old_value, {id, 0});
}

void raise_decomposed(Export& source) {
  drop_clones_of_dropout(source);
  raise_convolutions_and_norms(source);
  raise_activations(source);
  raise_matmuls(source);
  raise_attention(source);
  detach_written_values(source);
  graph::eliminate_dead_nodes(source.graph);
}

}  // namespace limbeck::capture
