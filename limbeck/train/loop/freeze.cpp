#include "limbeck/train/loop/freeze.h"

#include <algorithm>
#include <set>
#include <string_view>

namespace limbeck::train {

namespace {

using graph::Graph;

std::string_view parent_of(std::string_view scope) {
  const std::size_t dot = scope.rfind('.');
  return dot == std::string_view::npos ? std::string_view() : scope.substr(0, dot);
}

bool is_below(std::string_view name, std::string_view scope) {
  return scope.empty() || (name.starts_with(scope) && name.size() > scope.size() && name[scope.size()] == '.');
}

enum class Training : uint8_t { none, frozen, trained };

/// What becomes of the parameters at and below a scope.
Training training_of(const Graph& graph, std::string_view scope) {
  Training result = Training::none;
  for (const graph::Parameter& parameter : graph.parameters()) {
    if (parameter.is_buffer || !is_below(parameter.name, scope)) continue;
    if (parameter.tensor.requires_grad()) return Training::trained;
    result = Training::frozen;
  }
  return result;
}

/// The BatchNorm's scope, or the nearest one around it that has parameters, is frozen as a whole.
bool is_frozen(const Graph& graph, std::string_view scope) {
  Training training = training_of(graph, scope);
  while (training == Training::none && !scope.empty()) {
    scope = parent_of(scope);
    training = training_of(graph, scope);
  }
  return training == Training::frozen;
}

}  // namespace

std::vector<std::string> frozen_norms(const Model& model) {
  const Graph& graph = model.graph();
  std::set<std::string> scopes;
  for (const graph::NodeId id : graph.order()) {
    const graph::Node& node = graph.node(id);
    if (!node.op->is("aten::batch_norm")) continue;
    const std::string& scope = graph.scope(node.scope).path;
    if (is_frozen(graph, scope)) scopes.insert(scope);
  }
  return {scopes.begin(), scopes.end()};
}

void train_unfrozen(Model& model) {
  model.train();
  for (const std::string& scope : frozen_norms(model)) model.eval(scope);
}

}  // namespace limbeck::train
