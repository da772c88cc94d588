#include "tests/model/networks.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>
#include <torch/library.h>

#include "limbeck/graph/builder.h"

namespace limbeck::testing {

namespace {

using graph::Builder;
using graph::Graph;
using graph::ValueId;

void mark_in_place(Graph& graph, ValueId value) { graph.edit(value.node).was_in_place = true; }

ValueId convolution(Builder& builder, const std::string& name, ValueId x, int64_t in, int64_t out, uint64_t seed) {
  const auto scope = builder.enter(name, "torch.nn.modules.conv.Conv2d");
  const ValueId weight = builder.parameter(name + ".weight", normal({out, in, 3, 3}, seed) * 0.2);
  return builder.call("aten::conv2d", {x, weight}, {{"padding", std::vector<int64_t>{1, 1}}});
}

ValueId batch_norm(Builder& builder, const std::string& name, ValueId x, int64_t channels, uint64_t seed) {
  const auto scope = builder.enter(name, "torch.nn.modules.batchnorm.BatchNorm2d");
  const ValueId weight = builder.parameter(name + ".weight", normal({channels}, seed).abs() + 0.5);
  const ValueId bias = builder.parameter(name + ".bias", normal({channels}, seed + 1));
  const ValueId mean = builder.buffer(name + ".running_mean", normal({channels}, seed + 2));
  const ValueId variance = builder.buffer(name + ".running_var", normal({channels}, seed + 3).abs() + 0.5);
  const ValueId counter = builder.buffer(name + ".num_batches_tracked", at::zeros({}, at::kLong));
  const ValueId counted = builder.call("aten::add.Tensor", {counter, 1});
  builder.graph().state_writes.push_back({.buffer = name + ".num_batches_tracked",
                                          .value = counted,
                                          .when = graph::Mode::train,
                                          .scope = *builder.graph().find_scope(name)});
  return builder.call("aten::batch_norm", {x, weight, bias, mean, variance, false, 0.1, 1e-5, true});
}

ValueId relu(Builder& builder, ValueId x, uint32_t call) {
  const auto scope = builder.enter("relu", "torch.nn.modules.activation.ReLU", call);
  const ValueId y = builder.call("aten::relu", {x});
  mark_in_place(builder.graph(), y);
  return y;
}

}  // namespace

Graph residual_network(uint64_t seed) {
  Graph graph;
  Builder builder(graph);
  const ValueId x = builder.input("x", {graph::IntExpr::symbol("B"), 3, 8, 8});
  ValueId y = convolution(builder, "conv1", x, 3, 6, seed);
  const ValueId stem = relu(builder, batch_norm(builder, "bn1", y, 6, seed + 10), 0);
  y = batch_norm(builder, "bn2", convolution(builder, "conv2", stem, 6, 6, seed + 20), 6, seed + 30);
  y = builder.call("aten::add.Tensor", {y, stem});
  mark_in_place(graph, y);
  y = relu(builder, y, 1);
  y = builder.call("aten::mean.dim", {y, std::vector<int64_t>{2, 3}, false});
  {
    const auto scope = builder.enter("dropout", "torch.nn.modules.dropout.Dropout");
    y = builder.call("aten::dropout", {y, 0.3, false});
  }
  {
    const auto scope = builder.enter("fc", "torch.nn.modules.linear.Linear");
    const ValueId weight = builder.parameter("fc.weight", normal({5, 6}, seed + 40));
    y = builder.call("aten::linear", {y, weight, builder.parameter("fc.bias", normal({5}, seed + 41))});
  }
  builder.outputs({{"out", y}});
  number_scope_outputs(graph);
  return graph;
}

at::Tensor residual_by_hand(const Model& model, const at::Tensor& x, bool train) {
  const auto tensor = [&](const std::string& name) { return tensor_of(model, name); };
  const auto norm = [&](const std::string& name, const at::Tensor& y) {
    if (train) tensor(name + ".num_batches_tracked").add_(1);
    return at::batch_norm(y, tensor(name + ".weight"), tensor(name + ".bias"), tensor(name + ".running_mean"),
                          tensor(name + ".running_var"), train, 0.1, 1e-5, true);
  };
  at::Tensor stem = norm("bn1", at::conv2d(x, tensor("conv1.weight"), {}, 1, 1));
  stem.relu_();
  at::Tensor y = norm("bn2", at::conv2d(stem, tensor("conv2.weight"), {}, 1, 1));
  y.add_(stem).relu_();
  y = at::dropout(y.mean({2, 3}), 0.3, train);
  return at::linear(y, tensor("fc.weight"), tensor("fc.bias"));
}

at::Tensor tensor_of(const Model& model, const std::string& name) { return model.graph().parameter(name).tensor; }

Graph single_input_graph(graph::Sizes sizes, const std::function<ValueId(Graph&, ValueId)>& body) {
  Graph graph;
  Builder builder(graph);
  const ValueId x = builder.input("x", std::move(sizes));
  builder.outputs({{"out", body(graph, x)}});
  number_scope_outputs(graph);
  return graph;
}

at::Tensor normal(at::IntArrayRef sizes, uint64_t seed) {
  return at::empty(sizes).normal_(0, 1, at::detail::createCPUGenerator(seed));
}

::testing::AssertionResult is_equal(const at::Tensor& a, const at::Tensor& b) {
  if (!a.defined() || !b.defined()) return ::testing::AssertionFailure() << "a tensor is undefined";
  if (a.scalar_type() != b.scalar_type() || a.sizes() != b.sizes()) {
    return ::testing::AssertionFailure() << a.toString() << a.sizes() << " against " << b.toString() << b.sizes();
  }
  if (at::equal(a, b)) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "differ by up to " << (a - b).abs().to(at::kDouble).max().item<double>();
}

namespace {

std::vector<c10::weak_intrusive_ptr<c10::TensorImpl>>& seen() {
  static std::vector<c10::weak_intrusive_ptr<c10::TensorImpl>> tensors;
  return tensors;
}

at::Tensor observe(const at::Tensor& x) {
  TORCH_CHECK(!observations().fails, "told to fail");
  std::size_t live = 0;
  for (const auto& tensor : seen()) live += tensor.expired() ? 0 : 1;
  at::Tensor y = x + 1;
  observations().live.push_back(live);
  observations().inputs.push_back(x.const_data_ptr());
  observations().outputs.push_back(y.const_data_ptr());
  seen().emplace_back(y.getIntrusivePtr());
  return y;
}

}  // namespace

TORCH_LIBRARY(limbeck_test, library) { library.def("observe(Tensor x) -> Tensor", observe); }

Observations& observations() {
  static Observations all;
  return all;
}

void reset_observations() {
  observations() = {};
  seen().clear();
}

}  // namespace limbeck::testing
