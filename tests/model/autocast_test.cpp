#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include "limbeck/core/error.h"
#include "limbeck/graph/builder.h"
#include "limbeck/model/model.h"
#include "tests/model/networks.h"

namespace limbeck {
namespace {

using testing::is_equal;
using testing::normal;
using testing::residual_by_hand;
using testing::residual_network;
using testing::tensor_of;

TEST(Autocast, RestoresWhatWasBefore) {
  ASSERT_FALSE(at::autocast::is_autocast_enabled(at::kCPU));
  const at::ScalarType before = at::autocast::get_autocast_dtype(at::kCPU);
  {
    const Autocast outer(at::kHalf);
    EXPECT_EQ(at::autocast::get_autocast_dtype(at::kCPU), at::kHalf);
    {
      const Autocast inner(at::kBFloat16, at::kCPU, false);
      EXPECT_FALSE(at::autocast::is_autocast_enabled(at::kCPU));
    }
    EXPECT_TRUE(at::autocast::is_autocast_enabled(at::kCPU));
    EXPECT_EQ(at::autocast::get_autocast_dtype(at::kCPU), at::kHalf);
  }
  EXPECT_FALSE(at::autocast::is_autocast_enabled(at::kCPU));
  EXPECT_EQ(at::autocast::get_autocast_dtype(at::kCPU), before);
  EXPECT_THROW(Autocast wrong(at::kFloat), InvalidArgument);
}

TEST(Autocast, EqualsTheSameCallsByHandWithGradients) {
  Model model(residual_network()), by_hand(residual_network());
  model.train();
  const at::Tensor x = normal({4, 3, 8, 8}, 3);
  at::Tensor y, z;
  {
    const Autocast autocast(at::kBFloat16);
    at::manual_seed(1);
    y = model(x);
    at::manual_seed(1);
    z = residual_by_hand(by_hand, x, true);
  }
  EXPECT_EQ(y.scalar_type(), at::kBFloat16);
  EXPECT_TRUE(is_equal(y, z));
  y.sum().backward();
  z.sum().backward();
  for (const NamedTensor& parameter : model.named_parameters())
    EXPECT_TRUE(is_equal(parameter.tensor.grad(), tensor_of(by_hand, parameter.name).grad())) << parameter.name;
}

TEST(Autocast, CacheDoesNotOutliveTheBlock) {
  Model model(residual_network());
  const at::Tensor x = normal({4, 3, 8, 8}, 3);
  const auto run = [&] {
    const Autocast autocast(at::kBFloat16);
    return model(x);
  };
  const at::Tensor before = run();
  {
    const at::NoGradGuard no_grad;
    for (const at::Tensor& parameter : model.parameters("conv")) parameter.neg_();
  }
  EXPECT_FALSE(at::equal(run(), before));
}

TEST(Autocast, RegionOfTheGraphRunsUnderItsOwn) {
  graph::Graph graph;
  graph::Builder builder(graph);
  const graph::ValueId x = builder.input("x", {graph::IntExpr::symbol("B"), 4});
  const graph::ValueId weight = builder.parameter("weight", normal({3, 4}, 1));
  const graph::ValueId low = builder.call("aten::linear", {x, weight});
  const graph::ValueId full = builder.call("aten::linear", {x, weight});
  builder.outputs({{"low", low}, {"full", full}});
  graph.edit(low.node).region =
      graph.add_region({.grad_enabled = {}, .autocast = graph::Region::Autocast{.enabled = true}});
  graph.edit(low.node).types[0].tensor()->dtype = at::kBFloat16;
  graph.edit(full.node).region =
      graph.add_region({.grad_enabled = {}, .autocast = graph::Region::Autocast{.enabled = false}});
  Model model(std::move(graph));
  const Autocast autocast(at::kHalf);
  const Outputs outputs = model.forward(normal({2, 4}, 2));
  EXPECT_EQ(outputs["low"].scalar_type(), at::kBFloat16);
  EXPECT_EQ(outputs["full"].scalar_type(), at::kFloat);
  EXPECT_EQ(at::autocast::get_autocast_dtype(at::kCPU), at::kHalf);
}

}  // namespace
}  // namespace limbeck
