#include "limbeck/graph/passes/reference_run.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <map>

#include "limbeck/core/error.h"
#include "limbeck/graph/call_node.h"

namespace limbeck::passes {

using graph::Argument;
using graph::Graph;
using graph::Mode;
using graph::Node;
using graph::NodeId;
using graph::ValueId;

namespace {

class Runner {
 public:
  Runner(const Graph& graph, Mode mode, const std::vector<at::Tensor>& inputs, const graph::Bindings& bindings)
      : graph_(graph), mode_(mode), inputs_(inputs), bindings_(bindings) {}

  std::vector<at::Tensor> run() {
    const c10::NoGradGuard no_grad;
    for (const NodeId id : graph::needed_nodes(graph_, mode_, [this](graph::ScopeId) { return mode_; })) step(id);
    std::vector<at::Tensor> outputs;
    for (const graph::Output& output : graph_.outputs(mode_))
      graph::for_each_value(output.value, [&](ValueId value) { outputs.push_back(values_.at(value).toTensor()); });
    return outputs;
  }

 private:
  void step(NodeId id) {
    Node node = graph_.node(id);
    if (node.op->is("limbeck::input")) {
      values_[{id, 0}] = inputs_.at(static_cast<std::size_t>(*node.arguments[0].as_int()));
    } else if (const graph::Parameter* parameter = graph_.as_parameter({id, 0})) {
      values_[{id, 0}] = parameter->tensor;
    } else if (node.op->is("limbeck::by_mode")) {
      values_[{id, 0}] = values_.at(*node.arguments[mode_ == Mode::train ? 0 : 1].value());
    } else {
      call(id, node);
    }
  }

  void call(NodeId id, Node& node) {
    const auto& arguments = node.op->traits.mode_arguments;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
      if ((node.pinned_flags >> i & 1) != 0) continue;
      Argument& stored = node.arguments[arguments[i].slot];
      stored = graph::mode_argument_value(arguments[i], stored, mode_);
    }
    std::map<ValueId, c10::IValue> copies = shielded(node);
    const auto value_of = [&](ValueId value) -> const c10::IValue& {
      const auto copy = copies.find(value);
      return copy == copies.end() ? values_.at(value) : copy->second;
    };
    std::vector<c10::IValue> results = graph::call_node(graph_, node, value_of, bindings_);
    for (uint32_t output = 0; output < results.size(); ++output) values_[{id, output}] = std::move(results[output]);
  }

  /// Copies of the buffers that the kernel writes although its schema does not say so.
  std::map<ValueId, c10::IValue> shielded(const Node& node) const {
    std::map<ValueId, c10::IValue> copies;
    for (const graph::HiddenWrite& write : node.op->traits.hidden_writes) {
      const ValueId* value = node.arguments[write.slot].value();
      if (value != nullptr && node.arguments[write.when_flag].as_bool() == true)
        copies.emplace(*value, values_.at(*value).toTensor().clone());
    }
    return copies;
  }

  const Graph& graph_;
  Mode mode_;
  const std::vector<at::Tensor>& inputs_;
  const graph::Bindings& bindings_;
  std::map<ValueId, c10::IValue> values_;
};

}  // namespace

std::vector<at::Tensor> random_inputs(const Graph& graph, const graph::Bindings& bindings, uint64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  std::vector<at::Tensor> inputs;
  for (const graph::InputSpec& input : graph.inputs) {
    const graph::TensorType* type = input.type.tensor();
    LIMBECK_CHECK(type != nullptr && type->sizes, "[batch_axis] input '{}' is no tensor of known sizes", input.name);
    std::vector<int64_t> sizes;
    for (const graph::IntExpr& size : *type->sizes) sizes.push_back(size.evaluate(bindings));
    if (c10::isFloatingType(type->dtype)) {
      inputs.push_back(at::randn(sizes, generator, at::TensorOptions()).to(type->dtype));
    } else {
      at::Tensor bits = at::randint(2, sizes, generator, at::TensorOptions().dtype(at::kLong));
      if (bits.dim() > 0 && bits.size(-1) > 0) bits.select(-1, 0).fill_(1);
      inputs.push_back(bits.to(type->dtype));
    }
  }
  return inputs;
}

std::vector<at::Tensor> reference_run(const Graph& graph, Mode mode, const std::vector<at::Tensor>& inputs,
                                      const graph::Bindings& bindings) {
  return Runner(graph, mode, inputs, bindings).run();
}

}  // namespace limbeck::passes
