#include "limbeck/graph/capture/decomposed/drop_path.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "limbeck/core/error.h"
#include "limbeck/graph/builder.h"
#include "limbeck/graph/capture/functional/aliasing.h"

namespace limbeck::capture {

using graph::Argument;
using graph::Graph;
using graph::IntExpr;
using graph::Node;
using graph::NodeId;
using graph::TensorType;
using graph::ValueId;

namespace {

struct DropPath {
  ValueId input;
  double keep = 1.0;
  const char* sampling = "bernoulli";
  const char* scale = "none";
  bool per_sample = true;
  std::vector<NodeId> nodes;  // the pattern's, users before what they use
};

/// The op that made `value`, without the underscore of an in-place op: "bernoulli" for `bernoulli_.float`.
std::string_view maker(const Graph& graph, ValueId value) {
  std::string_view name = short_name(*graph.node(value.node).op);
  if (!name.empty() && name.back() == '_') name.remove_suffix(1);
  return name;
}

class Matcher {
 public:
  Matcher(const Graph& graph, const graph::UseMap& uses) : graph_(graph), uses_(uses) {}

  std::optional<DropPath> match(NodeId id) const {
    const Node& node = graph_.node(id);
    if (!node.op->is("aten::mul.Tensor")) return std::nullopt;
    for (const auto& [x, noise] : {std::pair{0, 1}, std::pair{1, 0}}) {
      const ValueId* input = node.arguments[static_cast<std::size_t>(x)].value();
      const ValueId* mask = node.arguments[static_cast<std::size_t>(noise)].value();
      if (input == nullptr || mask == nullptr) continue;
      DropPath found{.input = *input, .nodes = {id}};
      if (match_noise(*mask, found) && fits(*mask, found)) return found;
    }
    return std::nullopt;
  }

 private:
  const Argument* argument(ValueId value, std::string_view name) const {
    const Node& node = graph_.node(value.node);
    const auto slot = node.op->find_slot(name);
    return slot ? &node.arguments[*slot] : nullptr;
  }

  std::optional<double> number(ValueId value, std::string_view name) const {
    const Argument* found = argument(value, name);
    return found == nullptr ? std::nullopt : found->as_double();
  }

  std::optional<ValueId> operand(ValueId value) const {
    const Argument* found = argument(value, "self");
    return found == nullptr || found->value() == nullptr ? std::nullopt : std::optional(*found->value());
  }

  bool is_private(ValueId value) const { return uses_.num_uses(value) == 1; }

  bool match_noise(ValueId noise, DropPath& found) const {
    std::optional<double> divisor;
    ValueId at = noise;
    if (maker(graph_, at) == "div" && is_private(at)) {
      divisor = number(at, "other");
      found.nodes.push_back(at.node);
      const auto next = operand(at);
      if (!divisor || !next) return false;
      at = *next;
    }
    if (!is_private(at)) return false;
    const bool is_sampled = maker(graph_, at) == "bernoulli" ? match_bernoulli(at, found) : match_floor(at, found);
    if (!is_sampled || (divisor && *divisor != found.keep)) return false;
    if (divisor) found.scale = "noise";
    return true;
  }

  /// empty or new_empty, then bernoulli_(keep).
  bool match_bernoulli(ValueId noise, DropPath& found) const {
    const auto keep = number(noise, "p");
    const auto memory = operand(noise);
    if (!keep || !memory || !is_private(*memory)) return false;
    const std::string_view source = maker(graph_, *memory);
    if (source != "empty" && source != "new_empty") return false;
    found.keep = *keep;
    found.nodes.push_back(noise.node);
    found.nodes.push_back(memory->node);
    return true;
  }

  /// floor_(rand + keep); the input may have been divided by keep.
  bool match_floor(ValueId noise, DropPath& found) const {
    if (maker(graph_, noise) != "floor") return false;
    const auto sum = operand(noise);
    if (!sum || maker(graph_, *sum) != "add" || !is_private(*sum)) return false;
    const auto keep = number(*sum, "other");
    const auto random = operand(*sum);
    if (!keep || !random || maker(graph_, *random) != "rand" || !is_private(*random)) return false;
    found.keep = *keep;
    found.sampling = "floor";
    found.nodes.insert(found.nodes.end(), {noise.node, sum->node, random->node});
    if (maker(graph_, found.input) == "div" && is_private(found.input) && number(found.input, "other") == keep) {
      found.nodes.push_back(found.input.node);
      found.input = *operand(found.input);
      found.scale = "input";
    }
    return true;
  }

  /// The noise has one element per sample, or one in all, and the input's dtype.
  bool fits(ValueId noise, DropPath& found) const {
    const TensorType* type = graph_.type(noise).tensor();
    const TensorType* input = graph_.type(found.input).tensor();
    if (type == nullptr || input == nullptr || !type->sizes || !input->sizes || type->dtype != input->dtype)
      return false;
    const graph::Sizes &sizes = *type->sizes, &wanted = *input->sizes;
    if (sizes.empty() || sizes.size() != wanted.size()) return false;
    for (std::size_t axis = 1; axis < sizes.size(); ++axis) {
      if (sizes[axis] != IntExpr(1)) return false;
    }
    found.per_sample = sizes[0] == wanted[0];
    return found.per_sample || sizes[0] == IntExpr(1);
  }

  const Graph& graph_;
  const graph::UseMap& uses_;
};

/// The rate whose keep probability is exactly `keep`: 0.1 rather than 0.09999999999999998.
std::optional<double> rate_of(double keep) {
  for (double scale = 10; scale <= 1e12; scale *= 10) {
    const double rate = std::round((1.0 - keep) * scale) / scale;
    if (1.0 - rate == keep) return rate;
  }
  return 1.0 - (1.0 - keep) == keep ? std::optional<double>(1.0 - keep) : std::nullopt;
}

void replace(Export& source, NodeId id, const DropPath& found, double rate) {
  Graph& graph = source.graph;
  const Node& mul = graph.node(id);
  Node node{.op = &graph::op_info("limbeck::drop_path")};
  node.arguments =
      graph::complete_arguments(*node.op, {found.input, rate, found.sampling, found.scale, found.per_sample, true}, {});
  node.types = mul.types;
  node.scope = mul.scope;
  node.call = mul.call;
  node.outer_calls = mul.outer_calls;
  node.region = mul.region;
  const std::string trace = source.trace(id);
  const NodeId made = graph.insert_before(id, std::move(node));
  source.set_trace(made, trace);
  graph.replace_all_uses({id, 0}, {made, 0});
  for (const NodeId dead : found.nodes) graph.erase(dead);
}

}  // namespace

std::size_t recognise_drop_paths(Export& source) {
  Graph& graph = source.graph;
  const graph::UseMap uses(graph);
  std::size_t count = 0;
  for (const NodeId id : std::vector<NodeId>(graph.order())) {
    if (!graph.is_live(id)) continue;
    const std::optional<DropPath> found = Matcher(graph, uses).match(id);
    if (!found) continue;
    const std::optional<double> rate = rate_of(found->keep);
    if (!rate) {
      source.notes.push_back(
          fmt::format("stochastic depth in '{}' keeps {}, which no rate gives exactly: left as it is",
                      graph.scope(graph.node(id).scope).path, found->keep));
      continue;
    }
    replace(source, id, *found, *rate);
    ++count;
  }
  return count;
}

}  // namespace limbeck::capture
