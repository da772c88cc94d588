#include "limbeck/model/precision/weight_cache.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <optional>

#include "limbeck/graph/builder.h"
#include "limbeck/model/model.h"
#include "tests/model/networks.h"

namespace limbeck {
namespace {

using testing::is_equal;
using testing::normal;
using testing::residual_network;
using testing::tensor_of;

/// conv1, conv2 and fc, whose bias is cast too.
constexpr int64_t kCast = 4;

/// One run under autocast, with the cache where there is one.
at::Tensor run(Model& model, const at::Tensor& x, WeightCache* cache) {
  const Autocast autocast(at::kBFloat16);
  std::optional<WeightCacheScope> scope;
  if (cache != nullptr) scope.emplace(*cache);
  at::manual_seed(1);
  return model(x);
}

/// Three micro-batches, a change of the weights, and three more: outputs, gradients and statistics have autocast's
/// bits.
TEST(WeightCache, HasAutocastsBitsOverMicroBatches) {
  for (const at::MemoryFormat format : {at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast}) {
    for (const Fusion fusion : {Fusion::none, Fusion::training}) {
      Model model(residual_network()), plain(residual_network());
      WeightCache cache;
      for (Model* each : {&model, &plain}) {
        each->to(format);
        each->train();
      }
      for (int step = 0; step < 6; ++step) {
        const at::Tensor x = normal({4, 3, 8, 8}, static_cast<uint64_t>(step)).contiguous(format);
        std::vector<at::Tensor> outputs;
        for (Model* each : {&model, &plain}) {
          const Autocast autocast(at::kBFloat16);
          std::optional<WeightCacheScope> scope;
          if (each == &model) scope.emplace(cache);
          at::manual_seed(1);
          outputs.push_back(each->forward(x, {.fusion = fusion}).logits());
        }
        ASSERT_TRUE(is_equal(outputs[0], outputs[1])) << step;
        for (const at::Tensor& output : outputs) output.to(at::kFloat).square().sum().backward();
        for (const NamedTensor& parameter : model.named_parameters())
          ASSERT_TRUE(is_equal(parameter.tensor.grad(), tensor_of(plain, parameter.name).grad())) << parameter.name;
        if (step != 2) continue;
        const at::NoGradGuard no_grad;
        for (Model* each : {&model, &plain}) {
          for (const at::Tensor& parameter : each->parameters()) parameter.sub_(parameter.grad(), 0.001);
        }
      }
      EXPECT_EQ(cache.num_conversions(), 2 * kCast);
    }
  }
}

/// y = (x · w) · w under one autocast region, whose backward adds both uses in bfloat16.
TEST(WeightCache, UsesWithinARunShareTheirCast) {
  const at::Tensor weight = normal({8, 8}, 1);
  const auto tied = [&] {
    return Model(testing::single_input_graph({4, 8}, [&](graph::Graph& graph, graph::ValueId x) {
      graph::Builder builder(graph);
      const graph::ValueId w = builder.parameter("w", weight.clone());
      return builder.call("aten::linear", {builder.call("aten::linear", {x, w}), w});
    }));
  };
  Model model = tied(), plain = tied();
  WeightCache cache;
  const at::Tensor x = normal({4, 8}, 2);
  run(model, x, &cache).sum().backward();
  run(plain, x, nullptr).sum().backward();
  EXPECT_TRUE(is_equal(tensor_of(model, "w").grad(), tensor_of(plain, "w").grad()));
  EXPECT_EQ(cache.num_conversions(), 1);
}

TEST(WeightCache, SeesEveryWayOfChangingAWeight) {
  Model model(residual_network());
  const at::Tensor x = normal({4, 3, 8, 8}, 3), weight = tensor_of(model, "conv1.weight");
  WeightCache cache;
  const at::NoGradGuard no_grad;
  int64_t expected = kCast;
  const auto check = [&](const char* what, int64_t conversions) {
    expected += conversions;
    EXPECT_TRUE(is_equal(run(model, x, &cache), run(model, x, nullptr))) << what;
    EXPECT_EQ(cache.num_conversions(), expected) << what;
  };
  check("first run", 0);
  check("nothing", 0);
  weight.mul_(1.5);
  check("in place", 1);
  weight.variable_data().mul_(1.5);  // Python's weight.data: the version stays
  check("in place by .data", 1);
  weight.set_data(at::ones_like(weight));
  check("other memory", 1);
  model.load_state_dict(Model(residual_network(7)).state_dict());
  check("load_state_dict", kCast);
  model.replace_head("fc", {.classes = 3});
  check("replaced parameters", 2);
  model.to(at::MemoryFormat::ChannelsLast);
  EXPECT_TRUE(is_equal(run(model, x, &cache), run(model, x, nullptr)));
  const int64_t before = cache.num_conversions();
  cache.forget(weight);
  run(model, x, &cache);
  EXPECT_EQ(cache.num_conversions(), before + 1);
}

TEST(WeightCache, GradientsFlowAfterARunWithoutThem) {
  Model model(residual_network());
  const at::Tensor x = normal({4, 3, 8, 8}, 3);
  WeightCache cache;
  {
    const at::NoGradGuard no_grad;
    run(model, x, &cache);
  }
  run(model, x, &cache).sum().backward();
  for (const NamedTensor& parameter : model.named_parameters())
    EXPECT_TRUE(parameter.tensor.grad().defined()) << parameter.name;
  EXPECT_EQ(cache.num_conversions(), kCast);
}

TEST(WeightCache, IsLeftAloneWithoutAutocastOrScope) {
  Model model(residual_network());
  const at::Tensor x = normal({4, 3, 8, 8}, 3);
  WeightCache cache;
  {
    const WeightCacheScope scope(cache);
    EXPECT_EQ(model(x).scalar_type(), at::kFloat);
  }
  EXPECT_EQ(current_weight_cache(), nullptr);
  run(model, x, nullptr);
  EXPECT_EQ(cache.num_conversions(), 0);
}

TEST(WeightCache, CastsWhatItCannotKeep) {
  WeightCache cache;
  const at::Tensor strided = normal({4, 4}, 1).narrow(1, 0, 2), empty = at::empty({0, 3});
  for (const at::Tensor& weight : {strided, empty})
    EXPECT_TRUE(is_equal(cache.cast(weight, at::kBFloat16), weight.to(at::kBFloat16)));
  EXPECT_EQ(cache.num_conversions(), 0);
}

}  // namespace
}  // namespace limbeck
