#include "limbeck/graph/passes/batch_axis.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "limbeck/graph/builder.h"
#include "limbeck/graph/passes/reference_run.h"

namespace limbeck::passes {
namespace {

using graph::Argument;
using graph::ArgumentList;
using graph::Graph;
using graph::IntExpr;
using graph::ValueId;

using Build = std::function<ValueId(graph::Builder&, ValueId x, const IntExpr& batch)>;

Graph build_graph(const Build& build, const IntExpr& batch, const graph::Sizes& rest) {
  at::manual_seed(3);
  Graph graph;
  graph::Builder b(graph);
  graph::Sizes sizes{batch};
  sizes.insert(sizes.end(), rest.begin(), rest.end());
  const ValueId x = b.input("x", sizes);
  const auto scope = b.enter("block");
  b.outputs({{"out", build(b, x, batch)}});
  return graph;
}

/// The freed graph runs at seven as the graph that was built free.
void expect_freed(const Build& build, const graph::Sizes& rest, int64_t batch) {
  Graph graph = build_graph(build, batch, rest);
  const BatchAxisResult result = free_batch_axis(graph);
  ASSERT_TRUE(result.is_freed) << result.reason;
  const Graph free = build_graph(build, IntExpr::symbol("B"), rest);
  const graph::Bindings seven{{"B", 7}};
  const auto inputs = random_inputs(free, seven, 5);
  const auto got = reference_run(graph, graph::Mode::eval, inputs, seven),
             want = reference_run(free, graph::Mode::eval, inputs, seven);
  EXPECT_TRUE(at::equal(got[0], want[0]));
  EXPECT_EQ(graph.type(*graph.eval_outputs[0].value.value()), free.type(*free.eval_outputs[0].value.value()));
}

std::string refusal(const Build& build, const graph::Sizes& rest, int64_t batch) {
  Graph graph = build_graph(build, batch, rest);
  const BatchAxisResult result = free_batch_axis(graph);
  EXPECT_FALSE(result.is_freed);
  EXPECT_EQ(graph.inputs[0].type.tensor()->sizes->at(0), IntExpr(batch));
  return result.reason;
}

Argument sizes(std::initializer_list<IntExpr> values) { return ArgumentList(values.begin(), values.end()); }

class BatchAxis : public ::testing::TestWithParam<int64_t> {};
INSTANTIATE_TEST_SUITE_P(Batches, BatchAxis, ::testing::Values(1, 2, 5),
                         [](const auto& test) { return "B" + std::to_string(test.param); });

TEST_P(BatchAxis, FlattensAndSplits) {
  expect_freed(
      [](graph::Builder& b, ValueId x, const IntExpr& n) {
        const ValueId rows = b.call("aten::view", {x, sizes({n * IntExpr(4), 6})});
        return b.call("aten::view", {b.call("aten::relu", {rows}), sizes({n, 4, 2, 3})});
      },
      {4, 6}, GetParam());
}

TEST_P(BatchAxis, FollowsTransposedAttention) {  // torch.nn.MultiheadAttention works on [length, batch, width]
  expect_freed(
      [](graph::Builder& b, ValueId x, const IntExpr& n) {
        const ValueId turned = b.call("aten::contiguous", {b.call("aten::transpose.int", {x, 0, 1})});
        const ValueId heads = b.call("aten::view", {turned, sizes({4, n * IntExpr(2), 3})});
        const ValueId back = b.call("aten::transpose.int", {b.call("aten::transpose.int", {heads, 0, 1}), 0, 1});
        const ValueId rows = b.call("aten::reshape", {back, sizes({IntExpr(4) * n, 6})});
        const ValueId mixed = b.call("aten::linear", {rows, b.parameter("w", at::randn({6, 6})), graph::None{}});
        return b.call("aten::transpose.int", {b.call("aten::view", {mixed, sizes({4, n, 6})}), 0, 1});
      },
      {4, 6}, GetParam());
}

TEST_P(BatchAxis, ExpandsAClassToken) {
  expect_freed(
      [](graph::Builder& b, ValueId x, const IntExpr& n) {
        const ValueId token = b.call("aten::expand", {b.parameter("token", at::randn({1, 1, 6})), sizes({n, -1, -1})});
        return b.call("aten::cat", {ArgumentList{token, x}, 1});
      },
      {4, 6}, GetParam());
}

TEST_P(BatchAxis, LeavesABroadcastOneAlone) {
  expect_freed(
      [](graph::Builder& b, ValueId x, const IntExpr&) {
        return b.call("aten::add.Tensor",
                      {x, b.call("aten::unsqueeze", {b.parameter("position", at::randn({4, 6})), 0})});
      },
      {4, 6}, GetParam());
}

TEST_P(BatchAxis, IndexesAllSamplesByARange) {
  expect_freed(
      [](graph::Builder& b, ValueId x, const IntExpr& n) {
        const ValueId rows = b.call("aten::unsqueeze", {b.call("aten::arange", {n}), 1});
        const ValueId columns = b.call("aten::arange", {4});
        return b.call("aten::index.Tensor", {x, ArgumentList{rows, columns}});
      },
      {4, 6}, GetParam());
}

TEST_P(BatchAxis, MakesZerosOfTheBatch) {
  expect_freed(
      [](graph::Builder& b, ValueId x, const IntExpr& n) {
        return b.call("aten::cat", {ArgumentList{x, b.call("aten::zeros", {sizes({n, 1, 6})})}, 1});
      },
      {4, 6}, GetParam());
}

TEST(BatchAxisRefusal, OfAMeanOverTheBatch) {
  const std::string why = refusal(
      [](graph::Builder& b, ValueId x, const IntExpr&) {
        return b.call("aten::sub.Tensor", {x, b.call("aten::mean.dim", {x, ArgumentList{0}, true})});
      },
      {4}, 1);
  EXPECT_NE(why.find("a batch of three is not three single runs"), std::string::npos) << why;
  EXPECT_NE(why.find("dynamic_shapes={\"x\": {0: torch.export.Dim(\"batch\")}}"), std::string::npos) << why;
}

TEST(BatchAxisRefusal, NamesOpAndScope) {
  const std::string why = refusal(
      [](graph::Builder& b, ValueId x, const IntExpr&) {
        return b.call("aten::select.int", {x, 0, 0});
      },
      {4}, 1);
  EXPECT_NE(why.find("aten::select.int in 'block' selects one sample of the batch"), std::string::npos) << why;
}

TEST(BatchAxisRefusal, OfASliceOfTheBatch) {
  const std::string why = refusal(
      [](graph::Builder& b, ValueId x, const IntExpr&) {
        return b.call("aten::slice.Tensor", {x, 0, 0, 2});
      },
      {4}, 5);
  EXPECT_NE(why.find("takes a part of the batch"), std::string::npos) << why;
}

TEST(BatchAxisRefusal, LeavesFreeGraphsAlone) {
  Graph graph = build_graph([](graph::Builder& b, ValueId x, const IntExpr&) { return b.call("aten::relu", {x}); },
                            IntExpr::symbol("N"), {4});
  const BatchAxisResult result = free_batch_axis(graph);
  EXPECT_FALSE(result.is_freed);
  EXPECT_TRUE(result.reason.empty());
}

}  // namespace
}  // namespace limbeck::passes
