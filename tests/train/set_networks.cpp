#include "tests/train/set_networks.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <torch/optim/adagrad.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/lbfgs.h>
#include <torch/optim/rmsprop.h>
#include <torch/optim/sgd.h>

#include <algorithm>
#include <utility>

#include "limbeck/graph/builder.h"

namespace limbeck::train::testing {

namespace {

namespace to = torch::optim;
using graph::Builder;
using graph::IntExpr;
using graph::ValueId;

at::Tensor normal(std::vector<int64_t> sizes, uint64_t seed) {
  return at::empty(sizes).normal_(0, 1, at::detail::createCPUGenerator(seed));
}

ValueId convolution(Builder& builder, const std::string& name, ValueId x, std::vector<int64_t> sizes, uint64_t seed) {
  const auto scope = builder.enter(name);
  const ValueId weight = builder.parameter(name + ".weight", normal(std::move(sizes), seed) * 0.3);
  return builder.call("aten::conv2d", {x, weight}, {{"padding", std::vector<int64_t>{1, 1}}});
}

ValueId batch_norm(Builder& builder, const std::string& name, ValueId x, int64_t channels) {
  const auto scope = builder.enter(name);
  const ValueId counter = builder.buffer(name + ".num_batches_tracked", at::zeros({}, at::kLong));
  const ValueId counted = builder.call("aten::add.Tensor", {counter, 1});
  builder.graph().state_writes.push_back({.buffer = name + ".num_batches_tracked",
                                          .value = counted,
                                          .when = graph::Mode::train,
                                          .scope = *builder.graph().find_scope(name)});
  return builder.call("aten::batch_norm",
                      {x, builder.parameter(name + ".weight", at::ones({channels})),
                       builder.parameter(name + ".bias", at::zeros({channels})),
                       builder.buffer(name + ".running_mean", at::zeros({channels})),
                       builder.buffer(name + ".running_var", at::ones({channels})), false, 0.1, 1e-5, true});
}

/// A user's own optimizer derived from SGD: it must keep its own step().
class SignedSgd : public to::SGD {
 public:
  using to::SGD::SGD;
  at::Tensor step(LossClosure) override {
    const at::NoGradGuard no_grad;
    for (const to::OptimizerParamGroup& group : param_groups_) {
      for (const at::Tensor& parameter : group.params()) {
        if (parameter.grad().defined()) parameter.sub_(parameter.grad().sign(), group.options().get_lr());
      }
    }
    return {};
  }
};

const at::Tensor& tensor_of(const Model& model, const std::string& name) {
  return model.graph().parameter(name).tensor;
}

}  // namespace

Model classifier(int64_t width, uint64_t seed) {
  graph::Graph graph;
  Builder builder(graph);
  ValueId y = builder.input("x", {IntExpr::symbol("B"), 1, 6, 6});
  y = builder.call("aten::relu",
                   {batch_norm(builder, "bn1", convolution(builder, "conv1", y, {width, 1, 3, 3}, seed), width)});
  y = builder.call("aten::relu", {batch_norm(builder, "bn2",
                                             convolution(builder, "conv2", y, {width, width, 3, 3}, seed + 1), width)});
  {
    const auto scope = builder.enter("pool");
    y = builder.call("aten::mean.dim", {y, std::vector<int64_t>{2, 3}, false});
  }
  {
    const auto scope = builder.enter("dropout");
    y = builder.call("aten::dropout", {y, 0.2, false});
  }
  {
    const auto scope = builder.enter("fc");
    y = builder.call("aten::linear", {y, builder.parameter("fc.weight", normal({4, width}, seed + 2)),
                                      builder.parameter("fc.bias", at::zeros({4}))});
  }
  builder.outputs({{"logits", y}});
  number_scope_outputs(graph);
  return Model(std::move(graph));
}

Model linear_adapter(int64_t in, int64_t out, uint64_t seed) {
  graph::Graph graph;
  Builder builder(graph);
  const ValueId x = builder.input("x", {IntExpr::symbol("B"), in});
  builder.outputs({{"y", builder.call("aten::linear", {x, builder.parameter("weight", normal({out, in}, seed)),
                                                       builder.parameter("bias", at::zeros({out}))})}});
  return Model(std::move(graph));
}

HandOutputs classifier_by_hand(const Model& model, const at::Tensor& x, bool train) {
  const auto tensor = [&](const std::string& name) { return tensor_of(model, name); };
  const auto block = [&](const at::Tensor& y, const std::string& conv, const std::string& bn) {
    const at::Tensor z = at::conv2d(y, tensor(conv + ".weight"), {}, 1, 1);
    if (train) tensor(bn + ".num_batches_tracked").add_(1);
    return at::relu(at::batch_norm(z, tensor(bn + ".weight"), tensor(bn + ".bias"), tensor(bn + ".running_mean"),
                                   tensor(bn + ".running_var"), train, 0.1, 1e-5, true));
  };
  const at::Tensor pool = block(block(x, "conv1", "bn1"), "conv2", "bn2").mean({2, 3});
  return {.logits = at::linear(at::dropout(pool, 0.2, train), tensor("fc.weight"), tensor("fc.bias")), .pool = pool};
}

at::Tensor adapter_by_hand(const Model& model, const at::Tensor& x) {
  return at::linear(x, tensor_of(model, "weight"), tensor_of(model, "bias"));
}

Batch batch_of(uint64_t seed) { return {.x = normal({8, 1, 6, 6}, seed), .y = at::arange(8, at::kLong).remainder(4)}; }

OptimizerPtr make_optimizer(Kind kind, std::vector<at::Tensor> parameters, double lr) {
  const auto or_usual = [&](double usual) { return lr == 0 ? usual : lr; };
  const auto sgd = [&] { return to::SGDOptions(or_usual(0.05)).momentum(0.9).nesterov(true).weight_decay(1e-3); };
  switch (kind) {
    case Kind::sgd:
      return std::make_shared<to::SGD>(std::move(parameters), sgd());
    case Kind::adam:
      return std::make_shared<to::Adam>(std::move(parameters), to::AdamOptions(or_usual(3e-3)));
    case Kind::adamw:
      return std::make_shared<to::AdamW>(std::move(parameters), to::AdamWOptions(or_usual(3e-3)).weight_decay(0.05));
    case Kind::adagrad:
      return std::make_shared<to::Adagrad>(std::move(parameters), to::AdagradOptions(or_usual(1e-2)));
    case Kind::rmsprop:
      return std::make_shared<to::RMSprop>(std::move(parameters), to::RMSpropOptions(or_usual(1e-3)));
    case Kind::lbfgs:
      return std::make_shared<to::LBFGS>(std::move(parameters), to::LBFGSOptions(or_usual(0.1)).max_iter(4));
    case Kind::sgd_subclass:
      return std::make_shared<SignedSgd>(std::move(parameters), sgd());
  }
  return nullptr;
}

void add_group(to::Optimizer& optimizer, std::vector<at::Tensor> parameters) {
  optimizer.add_param_group(to::OptimizerParamGroup(std::move(parameters)));
}

void step_eagerly(to::Optimizer& optimizer) {
  optimizer.step();
  optimizer.zero_grad();
}

void step_eagerly(to::Optimizer& optimizer, const std::function<at::Tensor()>& closure) { optimizer.step(closure); }

std::vector<at::Tensor> joined(std::vector<at::Tensor> a, const std::vector<at::Tensor>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

std::vector<at::Tensor> snapshot(const Model& model) {
  std::vector<at::Tensor> tensors;
  for (const graph::Parameter& parameter : model.graph().parameters()) {
    tensors.push_back(parameter.tensor.detach().clone());
  }
  return tensors;
}

bool is_bit_equal(const Model& model, const std::vector<at::Tensor>& before) {
  const std::vector<at::Tensor> now = snapshot(model);
  return std::equal(now.begin(), now.end(), before.begin(), before.end(),
                    [](const at::Tensor& a, const at::Tensor& b) { return at::equal(a, b); });
}

double largest_difference(const Model& a, const Model& b) {
  double largest = 0;
  for (const graph::Parameter& parameter : a.graph().parameters()) {
    const at::Tensor left = parameter.tensor.detach().to(at::kDouble);
    const at::Tensor right = tensor_of(b, parameter.name).detach().to(at::kDouble);
    const double size = std::max(1.0, right.abs().max().item<double>());
    largest = std::max(largest, (left - right).abs().max().item<double>() / size);
  }
  return largest;
}

std::vector<std::string> unmoved_parameters(const Model& model, const Model& before) {
  std::vector<std::string> names;
  for (const NamedTensor& parameter : model.named_parameters()) {
    if (at::equal(parameter.tensor, tensor_of(before, parameter.name))) names.push_back(parameter.name);
  }
  return names;
}

void seed_everything(uint64_t seed) {
  at::Generator generator = at::detail::getDefaultCPUGenerator();
  generator.set_current_seed(seed);
}

}  // namespace limbeck::train::testing
