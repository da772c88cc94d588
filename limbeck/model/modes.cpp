#include "limbeck/model/modes.h"

#include <algorithm>

#include "limbeck/core/error.h"

namespace limbeck {

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
      "[model] the model's source does not tell how it behaves in {} mode:{}\nCapture a train and an eval export "
      "together, or accept_assumptions({}) to run it as it stands.",
      graph::mode_name(refused), list, graph::mode_name(refused));
}

}  // namespace limbeck
