#include "tests/graph/capture/raw_graphs.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <map>

#include "limbeck/graph/call_node.h"
#include "limbeck/graph/passes/reference_run.h"

namespace limbeck::testing {

using graph::Node;
using graph::NodeId;
using graph::ValueId;

namespace {

/// Values of all nodes of a run in order, ops writing in place.
std::map<ValueId, c10::IValue> run_all(const graph::Graph& graph, const std::vector<at::Tensor>& inputs) {
  const c10::NoGradGuard no_grad;
  std::map<ValueId, c10::IValue> values;
  for (const NodeId id : graph.order()) {
    const Node& node = graph.node(id);
    if (node.op->is("limbeck::input")) {
      values[{id, 0}] = inputs.at(static_cast<std::size_t>(*node.arguments[0].as_int()));
    } else if (const graph::Parameter* parameter = graph.as_parameter({id, 0})) {
      values[{id, 0}] = parameter->tensor;
    } else {
      const auto results =
          graph::call_node(graph, node, [&](ValueId value) -> const c10::IValue& { return values.at(value); }, {});
      for (uint32_t output = 0; output < results.size(); ++output) values[{id, output}] = results[output];
    }
  }
  return values;
}

capture::Export with_own_tensors(const capture::Export& source) {
  capture::Export copy = source;
  copy.graph = source.graph.clone();
  return copy;
}

std::vector<at::Tensor> copies(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> result;
  for (const at::Tensor& tensor : tensors) result.push_back(tensor.clone());
  return result;
}

std::vector<std::pair<std::string, at::Tensor>> buffers_of(const graph::Graph& graph) {
  std::vector<std::pair<std::string, at::Tensor>> buffers;
  for (const graph::Parameter& parameter : graph.parameters()) {
    if (parameter.is_buffer) buffers.emplace_back(parameter.name, parameter.tensor);
  }
  return buffers;
}

}  // namespace

capture::Export raw_export(const std::function<std::vector<ValueId>(graph::Builder&)>& build) {
  capture::Export result;
  graph::Builder builder(result.graph);
  const std::vector<ValueId> outputs = build(builder);
  for (std::size_t i = 0; i < outputs.size(); ++i)
    result.graph.eval_outputs.push_back({.value = outputs[i], .name = std::to_string(i)});
  result.graph.eval_tree = {
      .kind = "tuple", .type = {}, .keys = {}, .children = std::vector<graph::TreeSpec>(outputs.size())};
  const capture::Export own = with_own_tensors(result);
  for (const auto& [value, result_value] : run_all(own.graph, passes::random_inputs(own.graph, {}, 1))) {
    if (!result_value.isTensor()) continue;
    graph::TensorType* type = result.graph.edit(value.node).types[value.output].tensor();
    const at::Tensor& tensor = result_value.toTensor();
    type->sizes = graph::Sizes(tensor.sizes().begin(), tensor.sizes().end());
    type->strides = graph::Sizes(tensor.strides().begin(), tensor.strides().end());
    type->dtype = tensor.scalar_type();
  }
  return result;
}

EagerRun run_eagerly(const capture::Export& source, const std::vector<at::Tensor>& inputs) {
  const capture::Export own = with_own_tensors(source);
  const auto values = run_all(own.graph, copies(inputs));
  EagerRun result;
  for (const graph::Output& output : own.graph.eval_outputs)
    result.outputs.push_back(values.at(*output.value.value()).toTensor());
  result.buffers = buffers_of(own.graph);
  return result;
}

EagerRun run_functionally(const capture::Export& source, const std::vector<at::Tensor>& inputs) {
  capture::Export own = with_own_tensors(source);
  const std::size_t count = own.graph.eval_outputs.size();
  for (const graph::StateWrite& write : own.graph.state_writes)
    own.graph.eval_outputs.push_back({.value = write.value, .name = write.buffer});
  EagerRun result;
  result.outputs = passes::reference_run(own.graph, graph::Mode::eval, copies(inputs), {});
  for (std::size_t i = 0; i < own.graph.state_writes.size(); ++i)
    own.graph.parameter(own.graph.state_writes[i].buffer).tensor.copy_(result.outputs[count + i]);
  result.outputs.resize(count);
  result.buffers = buffers_of(own.graph);
  return result;
}

}  // namespace limbeck::testing
