#include "limbeck/graph/match.h"

#include <algorithm>

#include "limbeck/core/error.h"

namespace limbeck::graph {

ValueId Match::value(std::string_view name) const {
  const auto found = arguments.find(name);
  const ValueId* captured = found == arguments.end() ? nullptr : found->second.value();
  LIMBECK_ASSERT(captured != nullptr, "[graph] the pattern has captured no value '{}'", name);
  return *captured;
}

Pattern Pattern::commutes() && {
  LIMBECK_ASSERT(slots_.size() >= 2, "[graph] a pattern with {} slots cannot commute", slots_.size());
  is_commutative_ = true;
  return std::move(*this);
}

Pattern Pattern::shared() && {
  is_shared_ = true;
  return std::move(*this);
}

Pattern Pattern::as(std::string name) && {
  name_ = std::move(name);
  return std::move(*this);
}

Pattern any(std::string name) {
  return {std::move(name), [](const Argument&) { return true; }};
}
Pattern value(std::string name) {
  return {std::move(name), [](const Argument& argument) { return argument.value() != nullptr; }};
}
Pattern number(std::string name) {
  return {std::move(name), [](const Argument& argument) { return argument.as_double().has_value(); }};
}
Pattern constant(Argument expected) {
  return {"", [expected = std::move(expected)](const Argument& argument) { return argument == expected; }};
}
Pattern call(std::string op, Pattern::Slots slots) {
  return {std::vector<std::string>{std::move(op)}, std::move(slots)};
}
Pattern call_one_of(std::vector<std::string> ops, Pattern::Slots slots) { return {std::move(ops), std::move(slots)}; }

/// Walks pattern and graph together. A failed branch leaves the match as it was before it.
class Matcher {
 public:
  Matcher(const Graph& graph, const UseMap& uses) : graph_(graph), uses_(uses) {}

  bool matches(const Pattern& pattern, const Argument& argument, bool is_root, Match& found) const {
    if (pattern.ops_.empty()) return pattern.accepts_(argument) && capture(pattern.name_, argument, found);
    const ValueId* at = argument.value();
    if (at == nullptr || at->output != 0) return false;
    const Node& node = graph_.node(at->node);
    if (std::find(pattern.ops_.begin(), pattern.ops_.end(), node.op->name) == pattern.ops_.end()) return false;
    if (!is_root && !pattern.is_shared_ && uses_.num_uses(*at) != 1) return false;
    Match attempt = found;
    attempt.nodes.push_back(at->node);
    if (!capture(pattern.name_, argument, attempt) || !matches_slots(pattern, node, attempt)) return false;
    found = std::move(attempt);
    return true;
  }

 private:
  static bool capture(const std::string& name, const Argument& argument, Match& found) {
    return name.empty() || found.arguments.try_emplace(name, argument).first->second == argument;
  }

  bool matches_slots(const Pattern& pattern, const Node& node, Match& found) const {
    Match straight = found;
    if (matches_in_order(pattern, node, false, straight)) {
      found = std::move(straight);
      return true;
    }
    return pattern.is_commutative_ && matches_in_order(pattern, node, true, found);
  }

  bool matches_in_order(const Pattern& pattern, const Node& node, bool is_swapped, Match& found) const {
    for (std::size_t i = 0; i < pattern.slots_.size(); ++i) {
      const std::size_t named = is_swapped && i < 2 ? 1 - i : i;
      const auto slot = node.op->find_slot(pattern.slots_[named].first);
      if (!slot || !matches(pattern.slots_[i].second, node.arguments[*slot], false, found)) return false;
    }
    return true;
  }

  const Graph& graph_;
  const UseMap& uses_;
};

std::optional<Match> match(const Graph& graph, const UseMap& uses, const Pattern& pattern, ValueId root) {
  Match found;
  if (!Matcher(graph, uses).matches(pattern, root, true, found)) return std::nullopt;
  return found;
}

}  // namespace limbeck::graph
