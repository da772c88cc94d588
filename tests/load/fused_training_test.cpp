// Training with fusion on the architectures whose speed is stated, made small: the fused ops' sums must not depend on
// how threads happen to run, least of all where deterministic algorithms are asked for.
#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "limbeck/graph/builder.h"
#include "limbeck/load/load.h"

namespace limbeck {
namespace {

using graph::Builder;
using graph::ValueId;

/// Deterministic algorithms and two threads, until it goes.
class DeterministicMode {
 public:
  DeterministicMode() {
    at::globalContext().setDeterministicAlgorithms(true, false);
    at::set_num_threads(2);
  }
  ~DeterministicMode() {
    at::globalContext().setDeterministicAlgorithms(false, false);
    at::set_num_threads(threads_);
  }

 private:
  int threads_ = at::get_num_threads();
};

constexpr int64_t kWidth = 24, kHeads = 2;

ValueId linear(Builder& b, const std::string& name, ValueId x, int64_t inputs, int64_t outputs) {
  return b.call("aten::linear", {x, b.parameter(name + ".weight", at::randn({outputs, inputs}) * 0.2),
                                 b.parameter(name + ".bias", at::randn({outputs}))});
}

ValueId layer_norm(Builder& b, const std::string& name, ValueId x) {
  return b.call("aten::layer_norm", {x, std::vector<int64_t>{kWidth}, b.parameter(name + ".weight", at::rand({kWidth})),
                                     b.parameter(name + ".bias", at::rand({kWidth}))});
}

/// Patches of 8 pixels and one block of a vision transformer; images are [4, 3, 32, 32].
graph::Graph small_transformer() {
  graph::Graph graph;
  Builder b(graph);
  at::manual_seed(6);
  const ValueId images = b.input("x", {4, 3, 32, 32});
  ValueId x = b.call("aten::conv2d", {images, b.parameter("patch.weight", at::randn({kWidth, 3, 8, 8}) * 0.1)},
                     {{"stride", graph::ArgumentList{8, 8}}});
  x = b.call("aten::transpose.int", {b.call("aten::flatten.using_ints", {x, 2}), 1, 2});  // [4, 16, kWidth]
  ValueId y = linear(b, "qkv", layer_norm(b, "norm1", x), kWidth, 3 * kWidth);
  y = b.call("aten::reshape", {y, std::vector<int64_t>{4, 16, 3, kHeads, kWidth / kHeads}});
  y = b.call("aten::permute", {y, std::vector<int64_t>{2, 0, 3, 1, 4}});
  const std::vector<ValueId> qkv = b.call_all("aten::unbind.int", {y, 0});
  y = b.call("aten::scaled_dot_product_attention", {qkv[0], qkv[1], qkv[2]});
  y = b.call("aten::reshape", {b.call("aten::transpose.int", {y, 1, 2}), std::vector<int64_t>{4, 16, kWidth}});
  x = b.call("aten::add.Tensor", {x, linear(b, "proj", y, kWidth, kWidth)});
  y = b.call("aten::gelu", {linear(b, "fc1", layer_norm(b, "norm2", x), kWidth, 2 * kWidth)});
  x = b.call("aten::add.Tensor", {x, linear(b, "fc2", y, 2 * kWidth, kWidth)});
  x = b.call("aten::mean.dim", {x, std::vector<int64_t>{1}, false});
  b.outputs({{"logits", linear(b, "head", x, kWidth, 10)}});
  return graph;
}

struct Network {
  std::string name;
  std::function<Model()> make;
  std::vector<std::string> fused;  // that the report must name
};

std::vector<Network> networks() {
  const auto zoo = [](const std::string& name) { return [name] { return load("zoo:" + name, {.seed = 1}); }; };
  return {{"resnet18", zoo("resnet18?classes=10&image_size=32"), {"batch_norm + relu", "batch_norm + add + relu"}},
          {"cifar_resnet", zoo("cifar_resnet?depth=20"), {"batch_norm + add + relu"}},
          {"mobilenet_v2",
           zoo("mobilenet_v2?classes=10&image_size=32&dropout=0"),
           {"depthwise convolution with own gradients"}},
          {"efficientnet_b0",
           zoo("efficientnet_b0?classes=10&image_size=32&dropout=0&drop_path=0"),
           {"batch_norm + silu", "depthwise convolution with own gradients"}},
          {"transformer",
           [] { return Model(small_transformer()); },
           {"attention with own gradients", "convolution of patches as a matrix product"}}};
}

enum class Precision { fp32, bf16 };

/// Losses of two steps of gradient descent, then all parameters and buffers.
std::vector<at::Tensor> train(Model model, const RunOptions& options, Precision precision) {
  model.to(at::MemoryFormat::ChannelsLast);
  model.train();
  at::manual_seed(9);
  const at::Tensor x = at::randn({4, 3, 32, 32}).contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor y = at::randint(10, {4});
  std::vector<at::Tensor> made;
  for (int step = 0; step < 2; ++step) {
    at::Tensor loss;
    {
      std::optional<Autocast> autocast;
      if (precision == Precision::bf16) autocast.emplace(at::kBFloat16);
      loss = at::cross_entropy_loss(model.forward(x, options).logits(), y);
    }
    loss.backward();
    made.push_back(loss.detach());
    for (const auto& parameter : model.named_parameters()) {
      parameter.tensor.data().sub_(parameter.tensor.grad(), 0.01);
      parameter.tensor.mutable_grad().reset();
    }
  }
  for (const auto& parameter : model.named_parameters()) made.push_back(parameter.tensor.detach());
  for (const auto& buffer : model.named_buffers()) made.push_back(buffer.tensor);
  return made;
}

TEST(FusedTraining, RepeatsItsBitsInDeterministicMode) {
  const DeterministicMode mode;
  for (const Network& network : networks()) {
    const Model model = network.make();
    for (const Precision precision : {Precision::fp32, Precision::bf16}) {
      const RunOptions options{.fusion = Fusion::training};
      const std::vector<at::Tensor> first = train(model.clone(), options, precision);
      const std::vector<at::Tensor> second = train(model.clone(), options, precision);
      for (std::size_t i = 0; i < first.size(); ++i) EXPECT_TRUE(at::equal(first[i], second[i])) << network.name << i;
    }
  }
}

/// That the above runs the fused ops, and that what they make is what the graph without them makes.
TEST(FusedTraining, FusesEachAndKeepsItsOutputs) {
  for (const Network& network : networks()) {
    Model model = network.make();
    model.to(at::MemoryFormat::ChannelsLast);
    model.train();
    const auto fused = model.fusion_report({.fusion = Fusion::training}).fused;
    for (const std::string& name : network.fused) EXPECT_EQ(fused.count(name), 1U) << network.name << ": " << name;
    const at::Tensor x = at::randn({4, 3, 32, 32}).contiguous(at::MemoryFormat::ChannelsLast);
    const at::Tensor ours = model.clone().forward(x, {.fusion = Fusion::training}).logits();
    const at::Tensor theirs = model.clone().forward(x).logits();
    EXPECT_TRUE(at::allclose(ours, theirs, 1e-3, 1e-3)) << network.name;
  }
}

}  // namespace
}  // namespace limbeck
