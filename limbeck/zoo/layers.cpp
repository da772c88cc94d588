#include "limbeck/zoo/layers.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <cmath>

namespace limbeck::zoo {

using graph::Argument;
using graph::IntExpr;
using graph::Mode;

Layers::Layers(graph::Graph& graph, uint64_t seed)
    : builder_(graph), generator_(at::detail::createCPUGenerator(seed)) {}

int64_t Layers::channels(ValueId x) { return *builder_.graph().type(x).tensor()->sizes->at(1).constant(); }

ValueId Layers::image(int64_t channels, int64_t size) {
  return builder_.input("x", {IntExpr::symbol("B"), channels, size, size});
}

std::string Layers::full_name(std::string_view name) const {
  return builder_.scope_path().empty() ? std::string(name) : builder_.scope_path() + "." + std::string(name);
}

uint32_t Layers::next_call(std::string_view name) { return calls_[full_name(name)]++; }

at::Tensor Layers::draw_weight(const std::vector<int64_t>& sizes, Init init, int64_t fan_in, int64_t fan_out) {
  at::Tensor weight = at::empty(sizes);
  switch (init) {
    case Init::torch_default: {
      const double bound = 1 / std::sqrt(static_cast<double>(fan_in));
      return weight.uniform_(-bound, bound, generator_);
    }
    case Init::kaiming_fan_out:
      return weight.normal_(0, std::sqrt(2 / static_cast<double>(fan_out)), generator_);
    case Init::normal_001:
      return weight.normal_(0, 0.01, generator_);
    case Init::uniform_out: {
      const double bound = 1 / std::sqrt(static_cast<double>(sizes.front()));
      return weight.uniform_(-bound, bound, generator_);
    }
  }
  return weight;
}

ValueId Layers::conv(std::string_view name, ValueId x, const ConvOptions& options) {
  const int64_t in = channels(x), area = options.kernel * options.kernel;
  const int64_t fan_in = in / options.groups * area, fan_out = options.out * area;
  const std::string path = full_name(name);
  const auto scope = builder_.enter(name, "torch.nn.modules.conv.Conv2d", next_call(name));
  const ValueId weight = builder_.parameter(
      path + ".weight",
      draw_weight({options.out, in / options.groups, options.kernel, options.kernel}, options.init, fan_in, fan_out));
  Argument bias;
  if (options.bias) bias = builder_.parameter(path + ".bias", at::zeros({options.out}));
  const auto square = [](int64_t n) { return graph::ArgumentList{n, n}; };
  return builder_.call("aten::conv2d",
                       {x, weight, bias, square(options.stride), square(options.padding), square(1), options.groups});
}

ValueId Layers::batch_norm(std::string_view name, ValueId x, const NormOptions& options) {
  const int64_t size = channels(x);
  const std::string path = full_name(name);
  const auto scope = builder_.enter(name, "torch.nn.modules.batchnorm.BatchNorm2d", next_call(name));
  const ValueId weight = builder_.parameter(path + ".weight", at::ones({size}));
  const ValueId bias = builder_.parameter(path + ".bias", at::zeros({size}));
  const ValueId mean = builder_.buffer(path + ".running_mean", at::zeros({size}));
  const ValueId variance = builder_.buffer(path + ".running_var", at::ones({size}));
  const ValueId batches = builder_.buffer(path + ".num_batches_tracked", at::zeros({}, at::kLong));
  const ValueId counted = builder_.call("aten::add.Tensor", {batches, 1});
  graph::Graph& graph = builder_.graph();
  graph.state_writes.push_back({.buffer = path + ".num_batches_tracked",
                                .value = counted,
                                .when = Mode::train,
                                .scope = graph.node(counted.node).scope});
  return builder_.call("aten::batch_norm",
                       {x, weight, bias, mean, variance, false, options.momentum, options.eps, true});
}

ValueId Layers::linear(std::string_view name, ValueId x, int64_t out, Init init) {
  const int64_t in = channels(x);
  const std::string path = full_name(name);
  const auto scope = builder_.enter(name, "torch.nn.modules.linear.Linear", next_call(name));
  const ValueId weight = builder_.parameter(path + ".weight", draw_weight({out, in}, init, in, out));
  at::Tensor bias = at::zeros({out});
  if (init == Init::torch_default) {
    const double bound = 1 / std::sqrt(static_cast<double>(in));
    bias.uniform_(-bound, bound, generator_);
  }
  return builder_.call("aten::linear", {x, weight, builder_.parameter(path + ".bias", bias)});
}

ValueId Layers::unary(std::string_view name, std::string_view type, std::string_view op,
                      std::vector<Argument> arguments, bool in_place) {
  const auto scope = builder_.enter(name, type, next_call(name));
  const ValueId result = builder_.call(op, std::move(arguments));
  builder_.graph().edit(result.node).was_in_place = in_place;
  return result;
}

ValueId Layers::relu(std::string_view name, ValueId x) {
  return unary(name, "torch.nn.modules.activation.ReLU", "aten::relu", {x}, true);
}
ValueId Layers::relu6(std::string_view name, ValueId x) {
  return unary(name, "torch.nn.modules.activation.ReLU6", "aten::hardtanh", {x, 0.0, 6.0}, true);
}
ValueId Layers::silu(std::string_view name, ValueId x) {
  return unary(name, "torch.nn.modules.activation.SiLU", "aten::silu", {x}, true);
}
ValueId Layers::sigmoid(std::string_view name, ValueId x) {
  return unary(name, "torch.nn.modules.activation.Sigmoid", "aten::sigmoid", {x}, false);
}

ValueId Layers::max_pool(std::string_view name, ValueId x, int64_t kernel, int64_t stride, int64_t padding) {
  const auto square = [](int64_t n) { return graph::ArgumentList{n, n}; };
  return unary(name, "torch.nn.modules.pooling.MaxPool2d", "aten::max_pool2d",
               {x, square(kernel), square(stride), square(padding)}, false);
}

ValueId Layers::global_avg_pool(std::string_view name, ValueId x) {
  return unary(name, "torch.nn.modules.pooling.AdaptiveAvgPool2d", "aten::adaptive_avg_pool2d",
               {x, graph::ArgumentList{1, 1}}, false);
}

ValueId Layers::dropout(std::string_view name, ValueId x, double p) {
  return unary(name, "torch.nn.modules.dropout.Dropout", "aten::dropout", {x, p, false}, false);
}

ValueId Layers::drop_path(std::string_view name, ValueId x, double p) {
  return unary(name, "torchvision.ops.stochastic_depth.StochasticDepth", "limbeck::drop_path",
               {x, p, "bernoulli", "noise", true, false}, false);
}

ValueId Layers::flatten(ValueId x) { return builder_.call("aten::flatten.using_ints", {x, 1}); }

ValueId Layers::add(ValueId x, ValueId y) { return builder_.call("aten::add.Tensor", {x, y}); }

ValueId Layers::add_in_place(ValueId x, ValueId y) {
  const ValueId sum = add(x, y);
  builder_.graph().edit(sum.node).was_in_place = true;
  return sum;
}

ValueId Layers::multiply(ValueId x, ValueId y) { return builder_.call("aten::mul.Tensor", {x, y}); }

void Layers::finish(ValueId logits, std::string_view name) {
  builder_.outputs({{"logits", logits}});
  builder_.graph().metadata["name"] = std::string(name);
  builder_.graph().metadata["source"] = "zoo:" + std::string(name);
  graph::number_scope_outputs(builder_.graph());
}

}  // namespace limbeck::zoo
