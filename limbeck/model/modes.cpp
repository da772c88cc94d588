#include "limbeck/model/modes.h"

#include <algorithm>

#include "limbeck/core/error.h"

namespace limbeck {

graph::Mode parse_modes(std::string_view name) {
  for (const graph::Mode mode : {graph::Mode::none, graph::Mode::train, graph::Mode::eval, graph::Mode::both}) {
    if (name == graph::mode_name(mode)) return mode;
  }
  fail<InvalidArgument>("[model] '{}' names no modes. Use none, train, eval or both.", name);
}

bool is_inside_scope(std::string_view path, std::string_view scope) {
  if (scope.empty()) return true;
  return path.starts_with(scope) && (path.size() == scope.size() || path[scope.size()] == '.');
}

void ModeRules::set_all(graph::Mode mode) {
  root_ = mode;
  rules_.clear();
}

void ModeRules::set(std::string scope, graph::Mode mode) {
  if (scope.empty()) return set_all(mode);
  std::erase_if(rules_, [&](const auto& rule) { return is_inside_scope(rule.first, scope); });
  rules_.emplace_back(std::move(scope), mode);
}

ModeRules ModeRules::with_root(graph::Mode mode) const {
  ModeRules rules = *this;
  rules.root_ = mode;
  return rules;
}

std::vector<graph::Mode> ModeRules::resolve(const graph::Graph& graph) const {
  std::vector<graph::Mode> modes;
  modes.reserve(graph.scopes().size());
  for (const graph::Scope& scope : graph.scopes()) {
    const auto rule = std::find_if(rules_.rbegin(), rules_.rend(),
                                   [&](const auto& candidate) { return is_inside_scope(scope.path, candidate.first); });
    modes.push_back(rule == rules_.rend() ? root_ : rule->second);
  }
  return modes;
}

void check_assumptions(const graph::Graph& graph, const std::vector<graph::Mode>& modes, graph::Mode accepted) {
  std::string list;
  graph::Mode refused = graph::Mode::none;
  for (const graph::Assumption& assumption : graph.assumptions) {
    const graph::Mode mode = modes[assumption.scope];
    if (!contains(assumption.when, mode) || contains(accepted, mode)) continue;
    refused = refused | mode;
    const std::string& scope = graph.scope(assumption.scope).path;
    list += fmt::format("\n  {}{}{}", scope, scope.empty() ? "" : ": ", assumption.text);
  }
  if (list.empty()) return;
  fail<Unsupported>(
      "[model] the model's source does not tell how it behaves in {0} mode:{1}\nCapture a train and an eval export "
      "together, or accept it as it stands: --accept {2}, in a recipe `accept: {2}` of the model, in code "
      "accept_assumptions(Mode::{2}).",
      graph::mode_name(refused), list, graph::mode_name(refused));
}

}  // namespace limbeck
