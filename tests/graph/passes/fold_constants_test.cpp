#include "limbeck/graph/passes/fold_constants.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "limbeck/graph/builder.h"
#include "limbeck/graph/passes/reference_run.h"

namespace limbeck::passes {
namespace {

using graph::ArgumentList;
using graph::Graph;
using graph::IntExpr;
using graph::ValueId;

std::size_t count(const Graph& graph) {
  std::size_t result = 0;
  for (const graph::NodeId id : graph.order()) {
    const graph::OpInfo& op = *graph.node(id).op;
    result += op.is("limbeck::input") || op.is("limbeck::parameter") ? 0 : 1;
  }
  return result;
}

/// mask = (arange(4)[:, None] - arange(4)) > 0; x * mask
Graph masked() {
  Graph graph;
  graph::Builder b(graph);
  const auto scope = b.enter("attention");
  const ValueId x = b.input("x", {IntExpr::symbol("B"), 4, 4});
  const ValueId range = b.call("aten::arange", {4});
  const ValueId mask =
      b.call("aten::gt.Scalar", {b.call("aten::sub.Tensor", {b.call("aten::unsqueeze", {range, 1}), range}), 0});
  b.outputs({{"out", b.call("aten::mul.Tensor", {x, mask})}});
  return graph;
}

TEST(FoldConstants, StoresAChainAsOneBufferOfItsScope) {
  Graph graph = masked();
  const auto inputs = random_inputs(graph, {{"B", 2}}, 1);
  const auto before = reference_run(graph, graph::Mode::eval, inputs, {{"B", 2}});
  EXPECT_TRUE(fold_constants(graph));
  EXPECT_EQ(count(graph), 1U);
  ASSERT_NE(graph.find_parameter("attention.constant"), nullptr);
  EXPECT_TRUE(graph.parameter("attention.constant").is_buffer);
  EXPECT_FALSE(graph.parameter("attention.constant").is_persistent);
  EXPECT_TRUE(at::equal(reference_run(graph, graph::Mode::eval, inputs, {{"B", 2}})[0], before[0]));
  EXPECT_FALSE(fold_constants(graph));
}

TEST(FoldConstants, LeavesParametersSizesAndRandomNumbers) {
  Graph graph;
  graph::Builder b(graph);
  const ValueId x = b.input("x", {IntExpr::symbol("B"), 4});
  const ValueId w = b.call("aten::exp", {b.parameter("w", at::ones({4}))});
  const ValueId sized = b.call("aten::zeros", {ArgumentList{IntExpr::symbol("B"), 4}});
  const ValueId random = b.call("aten::rand", {ArgumentList{4}});
  ValueId sum = x;
  for (const ValueId other : {w, sized, random}) sum = b.call("aten::add.Tensor", {sum, other});
  b.outputs({{"out", sum}});
  EXPECT_FALSE(fold_constants(graph));
  EXPECT_EQ(count(graph), 6U);
}

TEST(FoldConstants, FoldsWhatItIsToldIsConstant) {
  Graph graph;
  graph::Builder b(graph);
  const ValueId x = b.input("x", {4});
  b.outputs(
      {{"out", b.call("aten::add.Tensor", {x, b.call("aten::neg", {b.buffer("lifted", at::ones({4}), false)})})}});
  EXPECT_FALSE(fold_constants(graph));
  EXPECT_TRUE(fold_constants(graph, {.is_constant = [](const graph::Parameter& p) { return p.name == "lifted"; }}));
  EXPECT_EQ(count(graph), 1U);
}

TEST(FoldConstants, ComputesNothingBeyondItsLimit) {
  const auto build = [](Graph& graph, const char* op, std::vector<graph::Argument> arguments) {
    graph::Node node{.op = &graph::op_info(op)};
    node.arguments = graph::complete_arguments(*node.op, std::move(arguments), {});
    node.types = {graph::Type{graph::TensorType{}}};  // a type that lies: only the arguments count
    return ValueId{graph.append(std::move(node)), 0};
  };
  Graph graph;
  const ValueId huge = build(graph, "aten::zeros", {ArgumentList{int64_t{1} << 31, int64_t{1} << 31}});
  const ValueId range = build(graph, "aten::arange", {int64_t{1} << 40});
  const ValueId small = build(graph, "aten::zeros", {ArgumentList{int64_t{1} << 13}});
  const ValueId outer = build(graph, "aten::add.Tensor", {build(graph, "aten::unsqueeze", {small, 1}), small});
  graph.eval_outputs = graph.train_outputs = {
      {.value = huge, .name = "a"}, {.value = range, .name = "b"}, {.value = outer, .name = "c"}};
  fold_constants(graph, {.max_bytes = 1 << 20});
  for (const char* op : {"aten::zeros", "aten::arange", "aten::add.Tensor"}) {
    const bool stays =
        std::any_of(graph.order().begin(), graph.order().end(), [&](auto id) { return graph.node(id).op->is(op); });
    EXPECT_TRUE(stays) << op;
  }
}

}  // namespace
}  // namespace limbeck::passes
