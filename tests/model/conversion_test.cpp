#include "limbeck/model/conversion.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "limbeck/core/error.h"
#include "limbeck/graph/builder.h"
#include "tests/model/networks.h"

namespace limbeck {
namespace {

using graph::Builder;
using graph::Graph;
using graph::ValueId;
using testing::is_equal;
using testing::message_of;
using testing::normal;
using testing::residual_by_hand;
using testing::residual_network;
using testing::tensor_of;

TEST(ToDtype, EqualsTheSameCallsByHand) {
  for (const at::ScalarType dtype : {at::kDouble, at::kBFloat16}) {
    Model model(residual_network());
    model.to(dtype);
    EXPECT_EQ(tensor_of(model, "fc.weight").scalar_type(), dtype);
    EXPECT_EQ(tensor_of(model, "bn1.num_batches_tracked").scalar_type(), at::kLong);
    const at::Tensor x = normal({2, 3, 8, 8}, 1).to(dtype);
    EXPECT_TRUE(is_equal(model(x), residual_by_hand(model, x, false)));
  }
}

TEST(ToDtype, KeepsIdentityAndGradients) {
  Model model(residual_network());
  const at::Tensor weight = tensor_of(model, "fc.weight");
  model(normal({2, 3, 8, 8}, 1)).sum().backward();
  const at::Tensor gradient = weight.grad().clone();
  model.to(at::kDouble);
  EXPECT_TRUE(tensor_of(model, "fc.weight").is_same(weight));
  EXPECT_TRUE(weight.requires_grad() && weight.is_leaf());
  EXPECT_TRUE(is_equal(weight.grad(), gradient.to(at::kDouble)));
  model.zero_grad();
  model(normal({2, 3, 8, 8}, 1).to(at::kDouble)).sum().backward();
  EXPECT_EQ(weight.grad().scalar_type(), at::kDouble);
}

TEST(ToDtype, InputsOfTheOldTypeAreRefused) {
  Model model(residual_network());
  model.to(at::kDouble);
  EXPECT_NE(message_of<InvalidArgument>([&] {
              model(normal({2, 3, 8, 8}, 1));
            }).find("Double, got Float"),
            std::string::npos);
}

TEST(ToDtype, ConstantsFollow) {
  Graph graph;
  Builder builder(graph);
  const ValueId x = builder.input("x", {graph::IntExpr::symbol("B"), 4}, at::kLong);
  const ValueId weight = builder.parameter("weight", normal({3, 4}, 1));
  const ValueId mask = builder.call("aten::to.dtype", {x, at::kFloat});
  const ValueId counted = builder.call("aten::to.dtype", {mask, at::kLong});
  builder.outputs({{"out", builder.call("aten::linear", {mask, weight})}, {"counted", counted}});
  Model model(std::move(graph));
  model.to(at::kDouble);
  const Outputs outputs = model.forward(at::ones({2, 4}, at::kLong));
  EXPECT_TRUE(is_equal(outputs["out"], at::linear(at::ones({2, 4}, at::kDouble), tensor_of(model, "weight"))));
  EXPECT_EQ(outputs["counted"].scalar_type(), at::kLong);
}

TEST(ToDtype, TiedTensorsStayTied) {
  Graph graph;
  Builder builder(graph);
  const ValueId x = builder.input("x", {graph::IntExpr::symbol("B"), 4});
  const at::Tensor shared = normal({4, 4}, 1);
  const ValueId a = builder.buffer("a", shared), b = builder.buffer("b", shared);
  const ValueId view = builder.buffer("view", shared.slice(0, 1, 3));
  const ValueId y = builder.call("aten::linear", {builder.call("aten::linear", {x, a}), b});
  builder.outputs({{"out", builder.call("aten::linear", {y, view})}});
  Model model(std::move(graph));
  model.to(at::kDouble);
  EXPECT_TRUE(tensor_of(model, "a").is_same(tensor_of(model, "b")));
  EXPECT_TRUE(tensor_of(model, "view").is_alias_of(tensor_of(model, "a")));
  EXPECT_TRUE(is_equal(tensor_of(model, "view"), tensor_of(model, "a").slice(0, 1, 3)));
  EXPECT_EQ(tensor_of(model, "view").scalar_type(), at::kDouble);
}

TEST(ToDtype, RefusesIntegers) {
  Model model(residual_network());
  EXPECT_THROW(model.to(at::kLong), InvalidArgument);
}

TEST(ToDevice, MovesTensorsTypesAndConstants) {
  Graph graph;
  Builder builder(graph);
  const ValueId x = builder.input("x", {graph::IntExpr::symbol("B"), 4});
  const ValueId weight = builder.parameter("weight", normal({4}, 1));
  const ValueId line = builder.call("aten::arange", {4}, {{"dtype", at::kFloat}, {"device", at::Device(at::kCPU)}});
  const ValueId sum = builder.call("aten::add.Tensor", {builder.call("aten::mul.Tensor", {x, weight}), line});
  builder.outputs({{"out", sum}});
  Model model(std::move(graph));
  model.to(at::Device(at::kMeta));
  EXPECT_EQ(tensor_of(model, "weight").device().type(), at::kMeta);
  EXPECT_TRUE(tensor_of(model, "weight").requires_grad());
  const at::Tensor y = model(at::empty({2, 4}, at::kMeta));
  EXPECT_EQ(y.device().type(), at::kMeta);
  EXPECT_EQ(y.sizes(), (std::vector<int64_t>{2, 4}));
}

TEST(ToMemoryFormat, ConvertsFourDimensionalParametersOnly) {
  Model model(residual_network());
  model.to(at::MemoryFormat::ChannelsLast);
  EXPECT_TRUE(tensor_of(model, "conv2.weight").is_contiguous(at::MemoryFormat::ChannelsLast));
  EXPECT_TRUE(tensor_of(model, "fc.weight").is_contiguous());
  model.to(at::MemoryFormat::Contiguous);
  EXPECT_TRUE(tensor_of(model, "conv2.weight").is_contiguous());
  EXPECT_THROW(model.to(at::MemoryFormat::Preserve), InvalidArgument);
}

}  // namespace
}  // namespace limbeck
