#include "limbeck/graph/capture/pair/slice.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>

#include "limbeck/core/error.h"
#include "limbeck/graph/call_node.h"
#include "limbeck/graph/capture/functional/aliasing.h"

namespace limbeck::capture {

using graph::Argument;
using graph::Graph;
using graph::Mode;
using graph::Node;
using graph::NodeId;
using graph::ValueId;

namespace {

void set_flags(Node& node, Mode mode) {
  const auto& arguments = node.op->traits.mode_arguments;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if ((node.pinned_flags >> i & 1) != 0) continue;
    Argument& stored = node.arguments[arguments[i].slot];
    stored = graph::mode_argument_value(arguments[i], stored, mode);
  }
  node.pinned_flags = 0;
}

/// The value that stands for `node`'s output in its mode, where the node itself does nothing.
std::optional<Argument> replacement(const Node& node, Mode mode) {
  if (node.op->is("limbeck::by_mode")) return node.arguments[mode == Mode::train ? 0 : 1];
  if (passes_input_on(node)) return node.arguments[0];
  return std::nullopt;
}

/// Compares two graphs in step.
class Comparison {
 public:
  Comparison(const Graph& a, const Graph& b) : a_(a), b_(b) {}

  std::string run() {
    const std::vector<NodeId> left = computing(a_), right = computing(b_);
    for (std::size_t i = 0; i < std::min(left.size(), right.size()); ++i) {
      const std::string difference = compare_nodes(left[i], right[i]);
      if (!difference.empty()) return difference;
    }
    if (left.size() != right.size())
      return fmt::format("{} nodes instead of {}; the first left over is {}", left.size(), right.size(),
                         first_extra(left, right));
    return compare_results();
  }

 private:
  static std::vector<NodeId> computing(const Graph& graph) {
    std::vector<NodeId> nodes;
    for (const NodeId id : graph.order()) {
      const graph::OpInfo& op = *graph.node(id).op;
      if (!op.is("limbeck::input") && !op.is("limbeck::parameter")) nodes.push_back(id);
    }
    return nodes;
  }

  std::string first_extra(const std::vector<NodeId>& left, const std::vector<NodeId>& right) const {
    const bool is_left = left.size() > right.size();
    const Graph& graph = is_left ? a_ : b_;
    return describe(graph, (is_left ? left : right)[std::min(left.size(), right.size())]);
  }

  static std::string describe(const Graph& graph, NodeId id) {
    const Node& node = graph.node(id);
    return fmt::format("{} in '{}' (%{})", node.op->name, graph.scope(node.scope).path,
                       node.names.empty() ? "" : node.names[0]);
  }

  std::string compare_nodes(NodeId left, NodeId right) {
    const Node &a = a_.node(left), &b = b_.node(right);
    const std::string what = describe(a_, left) + " against " + describe(b_, right) + ": ";
    if (a.op != b.op) return what + "another op";
    if (a_.scope(a.scope).path != b_.scope(b.scope).path || a.call != b.call ||
        a_.outer_calls(a.outer_calls) != b_.outer_calls(b.outer_calls))
      return what + "another scope";
    if (a_.regions()[a.region] != b_.regions()[b.region]) return what + "another region";
    if (a.types != b.types) return what + "other types";
    for (std::size_t slot = 0; slot < a.arguments.size(); ++slot) {
      if (!is_same(a.arguments[slot], b.arguments[slot])) return what + fmt::format("argument {} differs", slot);
    }
    for (uint32_t output = 0; output < a.types.size(); ++output) same_[{left, output}] = {right, output};
    return "";
  }

  bool is_same(const Argument& a, const Argument& b) const {
    const ValueId *left = a.value(), *right = b.value();
    if (left != nullptr && right != nullptr) return is_same(*left, *right);
    if (a.list() != nullptr && b.list() != nullptr) {
      return std::equal(a.list()->begin(), a.list()->end(), b.list()->begin(), b.list()->end(),
                        [&](const Argument& x, const Argument& y) { return is_same(x, y); });
    }
    return a == b;
  }

  bool is_same(ValueId left, ValueId right) const {
    if (const auto found = same_.find(left); found != same_.end()) return found->second == right;
    const graph::Parameter *a = a_.as_parameter(left), *b = b_.as_parameter(right);
    if (a != nullptr && b != nullptr) return is_same(*a, *b);
    const Node &x = a_.node(left.node), &y = b_.node(right.node);
    return x.op->is("limbeck::input") && y.op->is("limbeck::input") && x.arguments == y.arguments;
  }

  static bool is_same(const graph::Parameter& a, const graph::Parameter& b) {
    if (a.name == b.name && a.is_persistent) return true;
    return a.tensor.is_same(b.tensor) ||
           (a.tensor.sizes() == b.tensor.sizes() && a.tensor.scalar_type() == b.tensor.scalar_type() &&
            at::equal(a.tensor, b.tensor));
  }

  std::string compare_results() const {
    const auto &left = a_.eval_outputs, &right = b_.eval_outputs;
    if (left.size() != right.size()) return fmt::format("{} outputs instead of {}", left.size(), right.size());
    for (std::size_t i = 0; i < left.size(); ++i) {
      if (left[i].name != right[i].name || !is_same(left[i].value, right[i].value))
        return "output '" + left[i].name + "' differs";
    }
    if (!(a_.eval_tree == b_.eval_tree)) return "the output's structure differs";
    return compare_writes();
  }

  std::string compare_writes() const {
    if (a_.state_writes.size() != b_.state_writes.size())
      return fmt::format("{} state writes instead of {}", a_.state_writes.size(), b_.state_writes.size());
    for (const graph::StateWrite& write : a_.state_writes) {
      const auto other =
          std::find_if(b_.state_writes.begin(), b_.state_writes.end(),
                       [&](const graph::StateWrite& candidate) { return candidate.buffer == write.buffer; });
      if (other == b_.state_writes.end() || !is_same(write.value, other->value))
        return "the write of '" + write.buffer + "' differs";
    }
    return "";
  }

  const Graph& a_;
  const Graph& b_;
  std::map<ValueId, ValueId> same_;
};

}  // namespace

bool passes_input_on(const Node& node) {
  if (node.op->is("limbeck::drop_path")) return node.arguments[5].as_bool() == false;
  const std::string_view name = short_name(*node.op);
  if (name != "dropout" && name != "feature_dropout" && name != "alpha_dropout" && name != "feature_alpha_dropout")
    return false;
  return node.arguments[2].as_bool() == false;
}

Graph slice(const Graph& graph, Mode mode) {
  Graph result = graph;
  if (mode == Mode::train) {
    result.eval_outputs = result.train_outputs;
    result.eval_tree = result.train_tree;
  } else {
    result.train_outputs = result.eval_outputs;
    result.train_tree = result.eval_tree;
  }
  std::erase_if(result.state_writes, [mode](const graph::StateWrite& write) { return !contains(write.when, mode); });
  for (graph::StateWrite& write : result.state_writes) write.when = Mode::both;
  std::erase_if(result.assumptions,
                [mode](const graph::Assumption& assumption) { return !contains(assumption.when, mode); });
  for (const NodeId id : std::vector<NodeId>(result.order())) {
    if (!result.node(id).op->traits.mode_arguments.empty()) set_flags(result.edit(id), mode);
    const std::optional<Argument> value = replacement(result.node(id), mode);
    if (value && value->value() != nullptr) result.replace_all_uses({id, 0}, *value->value());
  }
  graph::eliminate_dead_nodes(result);
  return result;
}

std::string first_difference(const Graph& a, const Graph& b) { return Comparison(a, b).run(); }

}  // namespace limbeck::capture
