#include "limbeck/graph/passes/fuse_batch_norm.h"

#include <algorithm>
#include <optional>
#include <string_view>

namespace limbeck::passes {

using graph::Argument;
using graph::Graph;
using graph::Node;
using graph::NodeId;
using graph::ValueId;

namespace {

/// Slots of aten::batch_norm and, up to the residual, of limbeck::batch_norm_act.
enum Slot : std::size_t { kInput = 0, kTraining = 5, kMomentum = 6, kEps = 7 };

/// The activation that a node computes of its first argument, in the op's words.
std::optional<std::string_view> activation_of(const Node& node) {
  if (node.op->is("aten::relu")) return "relu";
  if (node.op->is("aten::relu6")) return "relu6";
  if (node.op->is("aten::silu")) return "silu";
  if (node.op->is("aten::hardtanh") && node.arguments[1].as_double() == 0.0 && node.arguments[2].as_double() == 6.0)
    return "relu6";
  return std::nullopt;
}

bool has_rank_4(const Graph& graph, ValueId value) {
  const graph::TensorType* type = graph.type(value).tensor();
  return type != nullptr && type->sizes && type->sizes->size() == 4;
}

bool is_plain_sum(const Node& node) {
  return node.op->is("aten::add.Tensor") && node.arguments[0].value() != nullptr &&
         node.arguments[1].value() != nullptr && node.arguments[2].as_double() == 1.0;
}

/// What one fused node will stand for; nodes in order of execution.
struct Chain {
  NodeId norm = 0;
  std::optional<NodeId> sum, activation;
  std::optional<ValueId> residual;
  std::string_view activation_name = "none";

  NodeId last() const { return activation ? *activation : sum ? *sum : norm; }
  std::string text() const {
    std::string text = "batch_norm";
    if (sum) text += " + add";
    if (activation) text += " + " + std::string(activation_name);
    return text;
  }
};

class BatchNormFuser {
 public:
  BatchNormFuser(Graph& graph, const FusionScope& scope, FusionReport& report)
      : graph_(graph), scope_(scope), report_(report) {}

  bool run() {
    bool changed = false;
    for (const NodeId id : std::vector<NodeId>(graph_.order())) {
      if (!graph_.node(id).op->is("aten::batch_norm")) continue;
      if (const std::string reason = reason_to_leave(graph_.node(id)); !reason.empty()) {
        report_.left.push_back(graph_.scope(graph_.node(id).scope).path + ": " + reason);
        continue;
      }
      const Chain chain = chain_from(id);
      fuse(chain);
      ++report_.fused[chain.text()];
      changed = true;
    }
    return changed;
  }

 private:
  /// Empty: the node can be fused.
  std::string reason_to_leave(const Node& node) const {
    const bool is_pinned = (node.pinned_flags & 1) != 0;
    const bool has_statistics = !node.arguments[3].is_none();
    const bool trains = is_pinned || !has_statistics ? node.arguments[kTraining].as_bool().value_or(false)
                                                     : scope_.is_training(node.scope);
    if (!trains) return "its statistics are frozen";
    const ValueId* input = node.arguments[kInput].value();
    if (input == nullptr || !has_rank_4(graph_, *input)) return "its input is not [N, C, H, W]";
    return {};
  }

  Chain chain_from(NodeId norm) const {
    Chain chain;
    chain.norm = norm;
    std::optional<NodeId> next = only_user(norm);
    if (next && is_plain_sum(graph_.node(*next)) && try_residual(chain, *next)) next = only_user(*next);
    if (!next || graph_.node(*next).region != graph_.node(norm).region) return chain;
    const auto activation = activation_of(graph_.node(*next));
    if (!activation || (chain.sum && *activation == "silu")) return chain;
    chain.activation = next;
    chain.activation_name = *activation;
    return chain;
  }

  bool try_residual(Chain& chain, NodeId sum) const {
    const Node& node = graph_.node(sum);
    const ValueId first = *node.arguments[0].value(), second = *node.arguments[1].value();
    const ValueId normalized{chain.norm, 0};
    const ValueId residual = first == normalized ? second : first;
    if (residual == normalized || node.region != graph_.node(chain.norm).region) return false;
    if (!has_same_sizes(residual, normalized)) return false;
    if (node.was_in_place && first != normalized) return false;  // it would have the residual's type
    chain.sum = sum;
    chain.residual = residual;
    return true;
  }

  bool has_same_sizes(ValueId a, ValueId b) const {
    const graph::TensorType *first = graph_.type(a).tensor(), *second = graph_.type(b).tensor();
    return first != nullptr && second != nullptr && first->sizes && first->sizes == second->sizes &&
           first->dtype == second->dtype;
  }

  /// The one node that uses the node's value, unless the value is seen elsewhere.
  std::optional<NodeId> only_user(NodeId id) const {
    const ValueId value{id, 0};
    if (std::find(scope_.kept.begin(), scope_.kept.end(), value) != scope_.kept.end()) return std::nullopt;
    const graph::UseMap& uses = use_map();
    if (uses.num_uses(value) != 1 || uses.users(value).size() != 1) return std::nullopt;
    return uses.users(value).front();
  }

  const graph::UseMap& use_map() const {
    if (!uses_) uses_.emplace(graph_);
    return *uses_;
  }

  void fuse(const Chain& chain) {
    const Node& norm = graph_.node(chain.norm);
    std::vector<Argument> arguments = norm.arguments;
    arguments.resize(kEps + 1);  // without cudnn_enabled
    arguments[kTraining] = true;
    arguments.emplace_back();
    if (chain.residual) arguments.back().kind = *chain.residual;
    arguments.emplace_back(std::string(chain.activation_name));
    // A sum in place has the normalised value's type, whatever autocast made of the residual.
    const bool keeps_type = chain.sum && graph_.node(*chain.sum).was_in_place;
    Node& last = graph_.edit(chain.last());
    last.op = &graph::op_info("limbeck::batch_norm_act");
    last.arguments = std::move(arguments);
    last.pinned_flags = 1;  // the run's mode is part of what was decided
    last.was_in_place = keeps_type;
    uses_.reset();
    if (chain.activation && chain.sum) graph_.erase(*chain.sum);
    if (chain.last() != chain.norm) graph_.erase(chain.norm);
  }

  Graph& graph_;
  const FusionScope& scope_;
  FusionReport& report_;
  mutable std::optional<graph::UseMap> uses_;  // of the graph as it is
};

}  // namespace

bool fuse_batch_norm(Graph& graph, const FusionScope& scope, FusionReport& report) {
  return BatchNormFuser(graph, scope, report).run();
}

}  // namespace limbeck::passes
