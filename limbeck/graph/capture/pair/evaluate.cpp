#include "limbeck/graph/capture/pair/evaluate.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <set>

#include "limbeck/core/error.h"
#include "limbeck/graph/call_node.h"

namespace limbeck::capture {

using graph::Argument;
using graph::Node;
using graph::NodeId;
using graph::ValueId;

namespace {

constexpr std::size_t kMaxNodes = 10'000;
constexpr double kMaxBytes = 256.0 * 1024 * 1024;

bool has_symbolic_size(const Argument& argument) {
  if (const graph::IntExpr* integer = argument.integer()) return !integer->is_constant();
  const graph::ArgumentList* list = argument.list();
  return list != nullptr && std::any_of(list->begin(), list->end(), has_symbolic_size);
}

bool is_small(const graph::Type& type) {
  const graph::TensorType* tensor = type.tensor();
  if (tensor == nullptr || !tensor->sizes) return false;
  double bytes = static_cast<double>(c10::elementSize(tensor->dtype));
  for (const graph::IntExpr& size : *tensor->sizes) {
    if (!size.constant()) return false;
    bytes *= static_cast<double>(*size.constant());
  }
  return bytes <= kMaxBytes;
}

}  // namespace

std::optional<at::Tensor> Evaluator::evaluate(ValueId value) {
  const c10::NoGradGuard no_grad;
  std::set<NodeId> needed;  // ids ascend in the order that capture made them, so definitions come first
  std::vector<NodeId> open{value.node};
  while (!open.empty()) {
    const NodeId id = open.back();
    open.pop_back();
    if (values_.count({id, 0}) != 0 || !needed.insert(id).second) continue;
    if (!is_computable(id) || needed.size() > kMaxNodes) return std::nullopt;
    for (const Argument& argument : graph_.node(id).arguments)
      graph::for_each_value(argument, [&](ValueId used) { open.push_back(used.node); });
  }
  for (const NodeId id : needed) {
    if (!compute(id)) return std::nullopt;
  }
  const auto found = values_.find(value);
  return found == values_.end() ? std::nullopt : std::optional(found->second);
}

bool Evaluator::is_computable(NodeId id) const {
  const Node& node = graph_.node(id);
  if (node.op->is("limbeck::parameter")) return true;
  if (node.op->is("limbeck::input") || node.op->is("limbeck::by_mode") || node.region != 0) return false;
  if (node.op->traits.is_random || !node.op->traits.hidden_writes.empty()) return false;
  return std::none_of(node.arguments.begin(), node.arguments.end(), has_symbolic_size) &&
         std::all_of(node.types.begin(), node.types.end(), is_small);
}

bool Evaluator::compute(NodeId id) {
  const Node& node = graph_.node(id);
  if (const graph::Parameter* parameter = graph_.as_parameter({id, 0})) {
    values_[{id, 0}] = parameter->tensor.detach();
    return true;
  }
  std::map<ValueId, c10::IValue> arguments;
  const auto value_of = [&](ValueId value) -> const c10::IValue& {
    return arguments.emplace(value, values_[value]).first->second;
  };
  const std::vector<c10::IValue> results = graph::call_node(graph_, node, value_of, {});
  if (results.size() != node.types.size()) return false;
  for (uint32_t output = 0; output < results.size(); ++output) {
    if (results[output].isTensor()) values_[{id, output}] = results[output].toTensor();
  }
  return true;
}

}  // namespace limbeck::capture
