#include "limbeck/graph/passes/final_activation.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "limbeck/core/error.h"

namespace limbeck::passes {

namespace {

using graph::Graph;
using graph::Mode;
using graph::Node;
using graph::ValueId;

constexpr std::array<std::pair<std::string_view, const char*>, 5> kActivations = {{
    {"aten::softmax.int", "softmax"},
    {"aten::_softmax", "softmax"},
    {"aten::log_softmax.int", "log_softmax"},
    {"aten::_log_softmax", "log_softmax"},
    {"aten::sigmoid", "sigmoid"},
}};

/// Ops after which an output says the same of the classes as before: their first argument.
constexpr std::array<std::string_view, 13> kTransparent = {
    "aten::view",        "aten::reshape",      "aten::flatten.using_ints", "aten::squeeze",
    "aten::squeeze.dim", "aten::squeeze.dims", "aten::unsqueeze",          "aten::contiguous",
    "aten::clone",       "aten::alias",        "aten::to.dtype",           "aten::_to_copy",
    "aten::dropout"};

bool is_matrix(const Graph& graph, const ValueId& value) {
  const graph::TensorType* type = graph.type(value).tensor();
  return type != nullptr && at::isFloatingType(type->dtype) && type->sizes && type->sizes->size() == 2;
}

/// As Outputs::logits chooses among tensors.
std::optional<ValueId> classifying_output(const Graph& graph, Mode mode) {
  std::optional<ValueId> matrix, first;
  for (const graph::Output& output : graph.outputs(mode)) {
    const ValueId* value = output.value.value();
    if (value == nullptr) continue;
    if (output.name == "logits") return *value;
    if (!matrix && is_matrix(graph, *value)) matrix = *value;
    if (!first) first = *value;
  }
  return matrix ? matrix : first;
}

/// The value that decides `value`: through by_mode in `mode`, views and copies.
const ValueId* step_back(const Node& node, Mode mode) {
  if (node.op->is("limbeck::by_mode")) return node.arguments[mode == Mode::train ? 0 : 1].value();
  const bool is_transparent =
      std::any_of(kTransparent.begin(), kTransparent.end(), [&](std::string_view name) { return node.op->is(name); });
  return is_transparent && !node.arguments.empty() ? node.arguments[0].value() : nullptr;
}

std::optional<FinalActivation> find_in(const Graph& graph, Mode mode) {
  std::optional<ValueId> value = classifying_output(graph, mode);
  while (value) {
    const Node& node = graph.node(value->node);
    for (const auto& [op, name] : kActivations) {
      if (node.op->is(op)) return FinalActivation{value->node, name, graph.scope(node.scope).path};
    }
    const ValueId* before = step_back(node, mode);
    value = before == nullptr ? std::nullopt : std::optional(*before);
  }
  return std::nullopt;
}

void drop(Graph& graph, const FinalActivation& activation) {
  const ValueId made{activation.node, 0};
  const std::size_t num_uses = graph::UseMap(graph).num_uses(made);
  const auto is_output = [&](const graph::Output& output) {
    return output.value.value() != nullptr && *output.value.value() == made;
  };
  const auto num_outputs = std::count_if(graph.train_outputs.begin(), graph.train_outputs.end(), is_output) +
                           std::count_if(graph.eval_outputs.begin(), graph.eval_outputs.end(), is_output);
  if (num_uses > 1 && num_uses != static_cast<std::size_t>(num_outputs)) {
    fail<Unsupported>("[graph] cannot drop the {} in '{}': more than the output uses it. Drop it in the model's code.",
                      activation.name, activation.scope);
  }
  graph.replace_all_uses(made, *graph.node(activation.node).arguments[0].value());
  graph.erase(activation.node);
}

}  // namespace

std::optional<FinalActivation> find_final_activation(const Graph& graph) {
  const std::optional<FinalActivation> found = find_in(graph, Mode::train);
  return found ? found : find_in(graph, Mode::eval);
}

bool drop_final_activation(Graph& graph) {
  bool has_changed = false;
  Graph changed = graph;  // an exception below leaves the caller's graph as it was
  while (const std::optional<FinalActivation> activation = find_final_activation(changed)) {
    drop(changed, *activation);
    has_changed = true;
  }
  if (has_changed) graph = std::move(changed);
  return has_changed;
}

}  // namespace limbeck::passes
