// Finds a small graph-shaped pattern above a value. Patterns are trees of calls with captured arguments:
//
//   const Pattern scaled = call("aten::mul.Tensor", {{"self", call("aten::relu", {{"self", any("x")}})},
//                                                    {"other", number("scale")}}).commutes();
//   if (const auto found = match(graph, uses, scaled, value)) rewrite(found->value("x"), found->nodes);
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "limbeck/graph/graph.h"

namespace limbeck::graph {

struct Match {
  std::map<std::string, Argument, std::less<>> arguments;  // what the named parts stand for
  std::vector<NodeId> nodes;                               // of the pattern's calls, users before what they use

  /// The value that a capture stands for; throws InternalError when it is a constant or unknown.
  ValueId value(std::string_view name) const;
};

class Pattern {
 public:
  using Slots = std::vector<std::pair<std::string, Pattern>>;

  /// An argument for which `accepts` holds, captured under `name`. A name that occurs twice must stand for equal
  /// arguments.
  Pattern(std::string name, std::function<bool(const Argument&)> accepts)
      : name_(std::move(name)), accepts_(std::move(accepts)) {}
  /// A call of one of `ops` whose named slots match; other slots are free. It is the first output that is matched.
  Pattern(std::vector<std::string> ops, Slots slots) : ops_(std::move(ops)), slots_(std::move(slots)) {}

  /// The first two slots may stand for each other.
  Pattern commutes() &&;
  /// The call's value may have other users too. Else a call below the root is matched only when the pattern is its one
  /// user, so that it can go with the pattern.
  Pattern shared() &&;
  /// The call's value is captured as well.
  Pattern as(std::string name) &&;

 private:
  friend class Matcher;
  std::string name_;
  std::function<bool(const Argument&)> accepts_;
  std::vector<std::string> ops_;
  Slots slots_;
  bool is_commutative_ = false;
  bool is_shared_ = false;
};

Pattern any(std::string name);        // any argument
Pattern value(std::string name);      // a value of the graph
Pattern number(std::string name);     // a constant int or float
Pattern constant(Argument expected);  // exactly this constant
Pattern call(std::string op, Pattern::Slots slots);
Pattern call_one_of(std::vector<std::string> ops, Pattern::Slots slots);

/// The pattern with its root at `root`, or nullopt. `uses` must be of `graph` as it is.
std::optional<Match> match(const Graph& graph, const UseMap& uses, const Pattern& pattern, ValueId root);

}  // namespace limbeck::graph
