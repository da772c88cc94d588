// Which mode each scope of a graph runs in. The mode belongs to a Model's state, never to the graph.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "limbeck/graph/graph.h"

namespace limbeck {

/// The calls of train() and eval() that still count: of the root, then of scopes, where later ones win.
class ModeRules {
 public:
  /// The root's mode, and with it every scope's: earlier rules are forgotten.
  void set_all(graph::Mode mode);
  /// The mode of `scope` and everything below it.
  void set(std::string scope, graph::Mode mode);
  /// The same rules of scopes under another mode of the root.
  ModeRules with_root(graph::Mode mode) const;
  /// The mode of each scope of `graph`, by its id; the root's stands at 0.
  std::vector<graph::Mode> resolve(const graph::Graph& graph) const;

 private:
  graph::Mode root_ = graph::Mode::eval;
  std::vector<std::pair<std::string, graph::Mode>> rules_;
};

/// A set of modes by name: none, train, eval or both. Throws InvalidArgument naming these.
graph::Mode parse_modes(std::string_view name);

/// Whether `path` is `scope` or stands below it. Everything is below the root "".
bool is_inside_scope(std::string_view path, std::string_view scope);

/// Throws Unsupported with what the graph's source could not tell about the modes that this run would use, unless
/// `accepted` has them.
void check_assumptions(const graph::Graph& graph, const std::vector<graph::Mode>& modes, graph::Mode accepted);

}  // namespace limbeck
