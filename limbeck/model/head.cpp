#include "limbeck/model/head.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "limbeck/core/error.h"
#include "limbeck/graph/infer.h"
#include "limbeck/graph/parameter_argument.h"

namespace limbeck {

namespace {

using graph::Graph;
using graph::Node;
using graph::NodeId;
using graph::Parameter;
using graph::parameter_argument;
using graph::ValueId;

/// Slots of weight and bias, the same in aten::linear, aten::conv2d and the like.
constexpr std::size_t kWeight = 1, kBias = 2;

bool is_pointwise(const at::Tensor& weight) {
  return std::all_of(weight.sizes().begin() + 2, weight.sizes().end(), [](int64_t size) { return size == 1; });
}

/// A node that maps channels by a weight of its own: a linear layer or an ungrouped 1x1 convolution.
bool is_linear_map(const Graph& graph, const Node& node) {
  const Parameter* weight = parameter_argument(graph, node, kWeight);
  if (weight == nullptr) return false;
  if (node.op->is("aten::linear")) return weight->tensor.dim() == 2;
  for (const char* convolution : {"aten::conv1d", "aten::conv2d", "aten::conv3d"}) {
    if (!node.op->is(convolution)) continue;
    return is_pointwise(weight->tensor) && node.arguments[node.op->slot("groups")].as_int() == 1;
  }
  return false;
}

bool has_parameter(const Graph& graph, const Node& node) {
  bool found = false;
  for (const graph::Argument& argument : node.arguments)
    for_each_value(argument, [&](ValueId value) { found |= graph.as_parameter(value) != nullptr; });
  return found;
}

/// Whether everything that `node` reaches has no parameters: then what it makes is what the model answers.
bool is_last_with_parameters(const Graph& graph, const graph::UseMap& uses, NodeId node) {
  std::vector<NodeId> pending = {node};
  std::set<NodeId> seen = {node};
  while (!pending.empty()) {
    const NodeId id = pending.back();
    pending.pop_back();
    for (uint32_t output = 0; output < graph.node(id).types.size(); ++output) {
      for (const NodeId user : uses.users({id, output})) {
        if (has_parameter(graph, graph.node(user))) return false;
        if (seen.insert(user).second) pending.push_back(user);
      }
    }
  }
  return true;
}

std::vector<NodeId> head_nodes(const Graph& graph) {
  const graph::UseMap uses(graph);
  std::vector<NodeId> nodes;
  for (const NodeId id : graph.order()) {
    if (is_linear_map(graph, graph.node(id)) && is_last_with_parameters(graph, uses, id)) nodes.push_back(id);
  }
  return nodes;
}

NodeId find_head(const Graph& graph, std::string_view scope) {
  std::vector<std::string> candidates;
  for (const NodeId id : head_nodes(graph)) {
    candidates.push_back(graph.scope(graph.node(id).scope).path);
    if (candidates.back() == scope) return id;
  }
  fail<InvalidArgument>(
      "[model] '{}' is no classifier: a linear layer or 1x1 convolution at the end. {}", scope,
      candidates.empty() ? "This model has none." : fmt::format("Candidates: {}.", fmt::join(candidates, ", ")));
}

/// The head's tensors must be nobody else's: neither tied to other names nor used by other nodes than the head's.
void refuse_shared(const Graph& graph, const Node& head, const Parameter& parameter) {
  for (const Parameter& other : graph.parameters()) {
    if (other.name == parameter.name || !other.tensor.is_alias_of(parameter.tensor)) continue;
    fail<Unsupported>("[model] cannot replace '{}': it shares its memory with '{}'. Untie them first.", parameter.name,
                      other.name);
  }
  for (const NodeId id : graph.order()) {
    const Node& user = graph.node(id);
    if (user.scope == head.scope && user.op == head.op) continue;  // the head's second call, or its other mode
    for (const graph::Argument& argument : user.arguments) {
      for_each_value(argument, [&](ValueId value) {
        if (graph.as_parameter(value) != &parameter) return;
        fail<Unsupported>("[model] cannot replace '{}': {} in '{}' uses it too", parameter.name, user.op->name,
                          graph.scope(user.scope).path);
      });
    }
  }
}

/// A leaf drawn as torch.nn.init.uniform_(-bound, bound) draws, of the sizes with `classes` in front.
at::Tensor uniform_like(const at::Tensor& old, int64_t classes, double bound, at::Generator& generator) {
  std::vector<int64_t> sizes = old.sizes().vec();
  sizes[0] = classes;
  at::Tensor drawn = at::empty(sizes, at::TensorOptions().dtype(at::kFloat)).uniform_(-bound, bound, generator);
  at::Tensor made = drawn.to(old.options().requires_grad(false), false, false, old.suggest_memory_format());
  return made.detach().set_requires_grad(old.requires_grad());
}

}  // namespace

std::vector<std::string> find_heads(const Graph& graph) {
  std::vector<std::string> scopes;
  for (const NodeId id : head_nodes(graph)) scopes.push_back(graph.scope(graph.node(id).scope).path);
  return scopes;
}

void replace_head(Graph& graph, std::string_view scope, const HeadOptions& options) {
  LIMBECK_CHECK(options.classes >= 1, "[model] a head needs at least one class, got {}", options.classes);
  Graph changed = graph;  // an exception below leaves the caller's graph as it was
  const Node head = graph.node(find_head(graph, scope));
  const Parameter& weight = *parameter_argument(graph, head, kWeight);
  const Parameter* bias = parameter_argument(graph, head, kBias);
  refuse_shared(graph, head, weight);
  // torch.nn.Linear and Conv: kaiming_uniform_(weight, a=sqrt(5)), then the bias with bound 1/sqrt(fan_in); in the
  // order of arithmetic of torch/nn/init.py, for the same bits.
  const double fan_in = static_cast<double>(weight.tensor.numel() / weight.tensor.size(0));
  const double slope = std::sqrt(5.0);
  const double bound = std::sqrt(3.0) * (std::sqrt(2.0 / (1.0 + slope * slope)) / std::sqrt(fan_in));
  at::Generator generator = at::detail::createCPUGenerator(options.seed);
  changed.set_parameter_tensor(weight.name, uniform_like(weight.tensor, options.classes, bound, generator));
  if (bias != nullptr) {
    refuse_shared(graph, head, *bias);
    changed.set_parameter_tensor(bias->name,
                                 uniform_like(bias->tensor, options.classes, 1.0 / std::sqrt(fan_in), generator));
  }
  changed.metadata.erase(graph::kLabelsKey);  // they name the old head's classes
  infer_all_types(changed);
  graph = std::move(changed);
}

}  // namespace limbeck
