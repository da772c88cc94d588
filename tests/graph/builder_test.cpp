#include "limbeck/graph/builder.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "limbeck/core/error.h"

namespace limbeck::graph {
namespace {

TEST(Builder, FillsDefaultsAndNamedArguments) {
  Graph graph;
  Builder b(graph);
  const ValueId x = b.input("x", {IntExpr::symbol("B"), 3, 8, 8});
  const ValueId weight = b.parameter("weight", at::zeros({4, 3, 3, 3}));
  const ValueId y = b.call("aten::conv2d", {x, weight}, {{"padding", std::vector<int64_t>{1, 1}}});
  const Node& node = graph.node(y.node);
  ASSERT_EQ(node.arguments.size(), 7U);
  EXPECT_TRUE(node.arguments[2].is_none());
  EXPECT_EQ(node.arguments[3], Argument(std::vector<int64_t>{1, 1}));
  EXPECT_EQ(node.arguments[6].as_int(), 1);
  const TensorType* type = graph.type(y).tensor();
  ASSERT_NE(type, nullptr);
  EXPECT_EQ(*type->sizes, (Sizes{IntExpr::symbol("B"), 4, 8, 8}));
}

TEST(Builder, RefusesWrongArgumentsByName) {
  Graph graph;
  Builder b(graph);
  const ValueId x = b.input("x", {2, 3});
  EXPECT_THROW(b.call("aten::relu", {}), InvalidArgument);
  EXPECT_THROW(b.call("aten::relu", {x, x}), InvalidArgument);
  EXPECT_THROW(b.call("aten::relu", {x}, {{"self", x}}), InvalidArgument);
  try {
    b.call("aten::softmax.int", {x, 1}, {{"dtypo", None{}}});
    FAIL();
  } catch (const InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find("'dtypo'. It has: self, dim, dtype"), std::string::npos) << error.what();
  }
  EXPECT_THROW(b.call("aten::no_such_op", {x}), Unsupported);
}

TEST(Builder, TakesReturnedListsApart) {
  Graph graph;
  Builder b(graph);
  const ValueId x = b.input("x", {IntExpr::symbol("B"), 10});
  const std::vector<ValueId> parts = b.call_all("aten::split.Tensor", {x, 4, 1});
  ASSERT_EQ(parts.size(), 3U);
  EXPECT_EQ(*graph.type(parts[2]).tensor()->sizes, (Sizes{IntExpr::symbol("B"), 2}));
}

TEST(Builder, InfersLinearSizesByRunning) {
  Graph graph;
  Builder b(graph);
  const IntExpr batch = IntExpr::symbol("B"), length = IntExpr::symbol("L");
  const ValueId x = b.input("x", {batch, length});
  const ValueId y = b.call("aten::constant_pad_nd", {x, std::vector<int64_t>{1, 2}});
  EXPECT_EQ(*graph.type(y).tensor()->sizes, (Sizes{batch, length + 3}));
  EXPECT_THROW(b.call("aten::nonzero", {x}), Unsupported);
}

TEST(Builder, KeepsTheGeneratorWhenItRunsARandomOp) {
  Graph graph;
  Builder b(graph);
  const ValueId x = b.input("x", {4});
  at::manual_seed(7);
  const at::Tensor expected = at::rand({4});
  at::manual_seed(7);
  b.call("aten::rand_like", {x});
  b.call("aten::bernoulli", {x});
  EXPECT_TRUE(at::equal(at::rand({4}), expected));
}

TEST(Builder, EntersScopes) {
  Graph graph;
  Builder b(graph);
  const ValueId x = b.input("x", {4});
  ValueId y;
  {
    const auto outer = b.enter("outer", "Outer", 1);
    const auto inner = b.enter("inner");
    y = b.call("aten::relu", {x});
  }
  const ValueId z = b.call("aten::relu", {y});
  EXPECT_EQ(graph.scope(graph.node(y.node).scope).path, "outer.inner");
  EXPECT_EQ(graph.call_at(graph.node(y.node), 0), 1U);
  EXPECT_EQ(graph.call_at(graph.node(y.node), 1), 0U);
  EXPECT_EQ(graph.node(z.node).scope, 0U);
  EXPECT_EQ(graph.scope(*graph.find_scope("outer")).type, "Outer");
}

}  // namespace
}  // namespace limbeck::graph
