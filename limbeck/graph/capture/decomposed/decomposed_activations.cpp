#include <algorithm>

#include "limbeck/graph/capture/decomposed/decomposed.h"
#include "limbeck/graph/match.h"

namespace limbeck::capture {

using graph::call;
using graph::NodeId;
using graph::Pattern;
using graph::value;

namespace {

/// A constant of this value, written as an int or a float.
Pattern equal_to(double expected) {
  return {"", [expected](const graph::Argument& argument) { return argument.as_double() == expected; }};
}

/// clamp(clamp(x + 3, min 0), max 6)
Pattern clamped() {
  Pattern sum = call("aten::add.Tensor", {{"self", value("x")}, {"other", equal_to(3)}}).shared();
  Pattern low = call("aten::clamp", {{"self", std::move(sum)}, {"min", equal_to(0)}}).shared();
  return call("aten::clamp", {{"self", std::move(low)}, {"max", equal_to(6)}}).shared();
}

Pattern product(Pattern gate) {
  return call("aten::mul.Tensor", {{"self", value("x")}, {"other", std::move(gate)}}).commutes().shared();
}

struct Activation {
  const char* op;
  Pattern pattern;  // of the one value "x"
};

const std::vector<Activation>& activations() {
  static const std::vector<Activation> all{
      {"aten::silu", product(call("aten::sigmoid", {{"self", value("x")}}).shared())},
      {"aten::hardswish", call("aten::div.Tensor", {{"self", product(clamped())}, {"other", equal_to(6)}})},
      {"aten::hardsigmoid", call("aten::div.Tensor", {{"self", clamped()}, {"other", equal_to(6)}})},
  };
  return all;
}

/// Whether one call of one module made all of them: a product of a user's own is left as it was written.
bool is_one_call(const graph::Graph& graph, const std::vector<NodeId>& nodes) {
  const graph::Node& first = graph.node(nodes.front());
  return std::all_of(nodes.begin(), nodes.end(), [&](NodeId id) {
    const graph::Node& node = graph.node(id);
    return node.scope == first.scope && node.call == first.call && node.outer_calls == first.outer_calls;
  });
}

bool raise_one(Raiser& raiser, const graph::UseMap& uses, NodeId id) {
  for (const Activation& activation : activations()) {
    const auto found = graph::match(raiser.graph(), uses, activation.pattern, {id, 0});
    if (!found || !is_one_call(raiser.graph(), found->nodes)) continue;
    raiser.replace(id, {id, 0}, activation.op, {{"self", found->value("x")}});
    return true;
  }
  return false;
}

}  // namespace

void raise_activations(Export& source) {
  Raiser raiser(source);
  graph::UseMap uses(source.graph);
  for (const NodeId id : std::vector<NodeId>(source.graph.order())) {
    if (raise_one(raiser, uses, id)) uses = graph::UseMap(source.graph);
  }
  graph::eliminate_dead_nodes(source.graph);
}

}  // namespace limbeck::capture
