#include "limbeck/measure/profile.h"

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <map>
#include <set>
#include <string_view>

#include "limbeck/graph/infer.h"

namespace limbeck::measure {

namespace {

using graph::Graph;
using graph::Node;
using graph::NodeId;

/// Every symbol at its smallest value: one sample.
graph::Bindings smallest_sizes(const Graph& graph) {
  graph::Bindings bindings;
  for (const graph::InputSpec& input : graph.inputs) {
    const graph::TensorType* tensor = input.type.tensor();
    if (tensor == nullptr || !tensor->sizes) continue;
    for (const graph::IntExpr& size : *tensor->sizes) {
      for (const std::string& symbol : size.symbols()) bindings[symbol] = 1;
    }
  }
  for (const graph::Range& range : graph.ranges) bindings[range.symbol] = std::max<int64_t>(range.min, 1);
  return bindings;
}

bool has_free_batch(const Graph& graph) {
  return std::any_of(graph.inputs.begin(), graph.inputs.end(), [](const graph::InputSpec& input) {
    const graph::TensorType* tensor = input.type.tensor();
    return tensor != nullptr && tensor->sizes && !tensor->sizes->empty() && !tensor->sizes->front().is_constant();
  });
}

/// "a.b.c" -> "", "a", "a.b", "a.b.c".
std::vector<std::string_view> with_parents(std::string_view path) {
  std::vector<std::string_view> result{path.substr(0, 0)};
  for (std::size_t dot = path.find('.'); dot != std::string_view::npos; dot = path.find('.', dot + 1)) {
    result.push_back(path.substr(0, dot));
  }
  if (!path.empty()) result.push_back(path);
  return result;
}

class ScopeTable {
 public:
  explicit ScopeTable(const Graph& graph) : graph_(graph) {}

  void add_macs(std::string_view path, int64_t macs) {
    for (const std::string_view scope : with_parents(path)) at(scope).macs += macs;
  }
  void add_parameter(std::string_view name, int64_t values) {
    const std::size_t dot = name.rfind('.');
    for (const std::string_view scope :
         with_parents(dot == std::string_view::npos ? name.substr(0, 0) : name.substr(0, dot))) {
      at(scope).parameters += values;
    }
  }
  std::vector<ScopeCost> take() { return std::move(costs_); }

 private:
  ScopeCost& at(std::string_view scope) {
    const auto [slot, is_new] = index_.try_emplace(std::string(scope), costs_.size());
    if (is_new) {
      const auto id = graph_.find_scope(scope);
      costs_.push_back({.scope = std::string(scope), .type = id ? graph_.scope(*id).type : std::string()});
    }
    return costs_[slot->second];
  }

  const Graph& graph_;
  std::map<std::string, std::size_t> index_;
  std::vector<ScopeCost> costs_;
};

}  // namespace

Profile profile(const Model& model) {
  const Graph& graph = model.graph();
  Profile result;
  ScopeTable scopes(graph);
  const graph::Bindings bindings = smallest_sizes(graph);
  for (const NodeId id :
       graph::needed_nodes(graph, graph::Mode::eval, [](graph::ScopeId) { return graph::Mode::eval; })) {
    const Node& node = graph.node(id);
    const int64_t macs = graph::macs_of(graph, node, bindings);
    scopes.add_macs(graph.scope(node.scope).path, macs);
    result.macs += macs;
  }
  result.is_per_sample = has_free_batch(graph);
  std::set<const void*> seen;
  for (const graph::Parameter& parameter : graph.parameters()) {
    if (!seen.insert(parameter.tensor.unsafeGetTensorImpl()).second) continue;
    const int64_t values = parameter.tensor.numel();
    (parameter.is_buffer ? result.buffers : result.parameters) += values;
    (parameter.is_buffer ? result.buffer_bytes : result.parameter_bytes) +=
        static_cast<int64_t>(parameter.tensor.nbytes());
    if (!parameter.is_buffer) scopes.add_parameter(parameter.name, values);
  }
  result.scopes = scopes.take();
  return result;
}

}  // namespace limbeck::measure
