#include "limbeck/graph/capture/pair/mode.h"

#include <algorithm>
#include <array>
#include <map>

#include "limbeck/core/error.h"
#include "limbeck/graph/builder.h"
#include "limbeck/graph/capture/functional/aliasing.h"

namespace limbeck::capture {

using graph::Graph;
using graph::Mode;
using graph::ModeArgument;
using graph::ModeKind;
using graph::Node;
using graph::NodeId;
using graph::ValueId;

namespace {

/// Which mode a mode argument's value speaks for; none where it says nothing.
Mode vote(const Node& node, const ModeArgument& argument) {
  const graph::Argument& value = node.arguments[argument.slot];
  if (argument.kind == ModeKind::probability) return value.as_double().value_or(0) > 0 ? Mode::train : Mode::none;
  const auto flag = value.as_bool();
  if (!flag || !has_running_statistics(node)) return Mode::none;
  return *flag ? Mode::train : Mode::eval;
}

bool is_norm(const Node& node) { return node.op->is("aten::batch_norm") || node.op->is("aten::instance_norm"); }

/// The name of the buffer that `node` reads in `slot`, or empty.
std::string buffer_in(const Graph& graph, const Node& node, std::string_view slot) {
  const ValueId* value = node.arguments[node.op->slot(slot)].value();
  const graph::Parameter* parameter = value == nullptr ? nullptr : graph.as_parameter(*value);
  return parameter == nullptr ? std::string() : parameter->name;
}

/// What is uncertain about the mode that a single export was not made in.
class Doubts {
 public:
  Doubts(Export& source, Mode mode)
      : source_(source), graph_(source.graph), other_(mode == Mode::train ? Mode::eval : Mode::train) {}

  void list() {
    for (const NodeId id : graph_.order()) {
      const Node& node = graph_.node(id);
      if (other_ == Mode::train) {
        list_lost_by_eval(node);
      } else {
        list_lost_by_train(node);
      }
    }
    if (other_ == Mode::train) {
      list_silent_modules();
      list_frozen_constants();
    }
    for (const std::string& path : source_.lost_dropout)
      graph_.assumptions.push_back(
          {.when = Mode::train, .scope = graph_.add_scope(path), .text = "dropout: run_decompositions() removed it"});
    list_unused_parameters();
    list_state_writes();
  }

 private:
  void add(graph::ScopeId scope, std::string text) {
    for (const graph::Assumption& known : graph_.assumptions) {
      if (known.scope == scope && known.text == text) return;
    }
    graph_.assumptions.push_back({.when = other_, .scope = scope, .text = std::move(text)});
  }

  void list_lost_by_eval(const Node& node) {
    if (node.op->is("aten::scaled_dot_product_attention") &&
        node.arguments[node.op->slot("dropout_p")].as_double() == 0.0)
      add(node.scope, "attention: an eval export does not tell its dropout");
    if (is_norm(node) && has_running_statistics(node) && node.arguments[node.op->slot("momentum")].as_double() == 0.0)
      add(node.scope, "momentum of the running statistics: an eval export writes 0 for None (a cumulative average)");
  }

  void list_lost_by_train(const Node& node) {
    if (node.op->traits.is_random && node.op->traits.mode_arguments.empty())
      add(node.scope, node.op->name + ": random numbers that are no known dropout may be absent in eval mode");
  }

  /// Stochastic depth leaves no trace in an eval export but its module's name.
  void list_silent_modules() {
    for (const std::string& path : source_.modules) {
      const std::string leaf = path.substr(path.rfind('.') + 1);
      const bool is_drop_path =
          leaf.find("drop_path") != std::string::npos || leaf.find("stochastic_depth") != std::string::npos;
      if (is_drop_path && !has_node(path))
        add(graph_.add_scope(path), "stochastic depth: an eval export does not tell its rate");
    }
  }

  bool has_node(const std::string& path) const {
    return std::any_of(graph_.order().begin(), graph_.order().end(), [&](NodeId id) {
      const std::string& scope = graph_.scope(graph_.node(id).scope).path;
      return scope == path || scope.starts_with(path + ".");
    });
  }

  void list_frozen_constants() {
    for (const std::string& name : source_.lifted) {
      const at::Tensor& tensor = graph_.parameter(name).tensor;
      if (tensor.is_floating_point() && tensor.numel() > 1)
        add(scope_of(name), "'" + name + "' is a constant here and may be computed from parameters in train mode");
    }
  }

  graph::ScopeId scope_of(const std::string& name) {
    const std::size_t dot = name.rfind('.');
    return dot == std::string::npos ? 0 : graph_.add_scope(name.substr(0, dot));
  }

  void list_unused_parameters() {
    for (const graph::Parameter& parameter : graph_.parameters()) {
      if (parameter.is_buffer || is_used(parameter)) continue;
      add(scope_of(parameter.name), fmt::format("parameter '{}' is not used in {} mode", parameter.name,
                                                graph::mode_name(other_ == Mode::train ? Mode::eval : Mode::train)));
    }
  }

  /// Under any of its names.
  bool is_used(const graph::Parameter& parameter) const {
    return std::any_of(graph_.order().begin(), graph_.order().end(), [&](NodeId id) {
      const graph::Parameter* read = graph_.as_parameter({id, 0});
      return read != nullptr && read->tensor.is_same(parameter.tensor);
    });
  }

  void list_state_writes() {
    for (const graph::StateWrite& write : graph_.state_writes) {
      if (contains(write.when, other_) || write.buffer.ends_with("num_batches_tracked")) continue;
      add(write.scope, fmt::format("buffer '{}' is written; whether also in {} mode is unknown", write.buffer,
                                   graph::mode_name(other_)));
    }
  }

  Export& source_;
  Graph& graph_;
  Mode other_;
};

}  // namespace

bool has_running_statistics(const Node& node) {
  return !is_norm(node) || !node.arguments[node.op->slot("running_mean")].is_none();
}

ModeGuess guess_mode(const Graph& graph) {
  ModeGuess guess;
  for (const NodeId id : graph.order()) {
    const Node& node = graph.node(id);
    for (const ModeArgument& argument : node.op->traits.mode_arguments) {
      const Mode says = vote(node, argument);
      guess.train_votes += says == Mode::train ? 1 : 0;
      guess.eval_votes += says == Mode::eval ? 1 : 0;
    }
  }
  guess.mode = guess.train_votes > guess.eval_votes ? Mode::train : Mode::eval;
  return guess;
}

uint64_t flags_to_pin(const Node& node, Mode mode) {
  uint64_t pinned = 0;
  const auto& arguments = node.op->traits.mode_arguments;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const Mode says = vote(node, arguments[i]);
    const bool means_no_mode = !has_running_statistics(node);
    if (means_no_mode || (says != Mode::none && says != mode)) pinned |= uint64_t{1} << i;
  }
  return pinned;
}

void add_missing_batch_counters(Graph& graph) {
  std::map<std::string, graph::StateWrite> counters;
  for (const NodeId id : std::vector<NodeId>(graph.order())) {
    const Node node = graph.node(id);
    if (!node.op->is("aten::batch_norm") || node.pinned_flags != 0) continue;
    const std::string mean = buffer_in(graph, node, "running_mean");
    const std::size_t dot = mean.rfind('.');
    const std::string name = (dot == std::string::npos ? "" : mean.substr(0, dot + 1)) + "num_batches_tracked";
    const graph::Parameter* counter = graph.find_parameter(name);
    const auto writes = [&](const graph::StateWrite& write) { return write.buffer == name; };
    if (mean.empty() || counter == nullptr || std::any_of(graph.state_writes.begin(), graph.state_writes.end(), writes))
      continue;
    const auto known = counters.find(name);
    const ValueId before = known == counters.end() ? graph.parameter_value(name) : known->second.value;
    Node add{.op = &graph::op_info("aten::add.Tensor")};
    add.arguments = graph::complete_arguments(*add.op, {before, 1}, {});
    add.types = {graph.type(before)};
    add.scope = node.scope;
    add.call = node.call;
    add.outer_calls = node.outer_calls;
    const ValueId after{graph.insert_before(id, std::move(add)), 0};
    counters[name] = {.buffer = name, .value = after, .when = Mode::train, .scope = node.scope};
  }
  for (auto& [name, write] : counters) graph.state_writes.push_back(std::move(write));
}

void make_single(Export& source, Mode mode) {
  Graph& graph = source.graph;
  for (const NodeId id : graph.order()) {
    const uint64_t pinned = flags_to_pin(graph.node(id), mode);
    if (pinned != 0) graph.edit(id).pinned_flags = pinned;
  }
  graph.train_outputs = graph.eval_outputs;
  graph.train_tree = graph.eval_tree;
  for (graph::StateWrite& write : graph.state_writes) write.when = mode;
  if (mode == Mode::eval) add_missing_batch_counters(graph);
  Doubts(source, mode).list();
}

}  // namespace limbeck::capture
