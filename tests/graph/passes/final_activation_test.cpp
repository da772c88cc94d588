#include "limbeck/graph/passes/final_activation.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "limbeck/core/error.h"
#include "limbeck/graph/builder.h"
#include "limbeck/graph/passes/reference_run.h"

namespace limbeck::passes {
namespace {

using graph::Graph;
using graph::ValueId;

/// linear - [activation] - flatten
struct Net {
  Graph graph;
  graph::Builder builder{graph};
  ValueId x, scores;

  Net() {
    x = builder.input("x", {graph::IntExpr::symbol("B"), 3});
    const auto scope = builder.enter("fc");
    scores = builder.call("aten::linear",
                          {x, builder.parameter("fc.weight", at::arange(6, at::kFloat).view({2, 3})), nullptr});
  }

  ValueId activated(const char* op, const graph::ArgumentList& more) {
    const auto scope = builder.enter("activation");
    graph::ArgumentList arguments = {scores};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return builder.call(op, arguments);
  }
};

std::string name_of(const Graph& graph) {
  const auto found = find_final_activation(graph);
  return found ? found->name + " in " + found->scope : "none";
}

TEST(FinalActivation, IsFoundBehindViews) {
  for (const auto& [op, more, name] :
       {std::tuple{"aten::softmax.int", graph::ArgumentList{1}, "softmax in activation"},
        std::tuple{"aten::log_softmax.int", graph::ArgumentList{-1}, "log_softmax in activation"},
        std::tuple{"aten::sigmoid", graph::ArgumentList{}, "sigmoid in activation"},
        std::tuple{"aten::relu", graph::ArgumentList{}, "none"}}) {
    Net net;
    net.builder.outputs({{"out", net.builder.call("aten::flatten.using_ints", {net.activated(op, more), 1})}});
    EXPECT_EQ(name_of(net.graph), name);
  }
}

TEST(FinalActivation, InTheMiddleIsNone) {
  Net net;
  const ValueId gate = net.activated("aten::sigmoid", {});
  net.builder.outputs({{"out", net.builder.call("aten::mul.Tensor", {net.scores, gate})}});
  EXPECT_EQ(name_of(net.graph), "none");
  EXPECT_FALSE(drop_final_activation(net.graph));
}

TEST(FinalActivation, DroppedLeavesTheLogits) {
  Net net;
  net.builder.outputs({{"out", net.activated("aten::softmax.int", {1})}});
  EXPECT_TRUE(drop_final_activation(net.graph));
  EXPECT_EQ(name_of(net.graph), "none");
  EXPECT_EQ(net.graph.train_outputs[0].value, graph::Argument(net.scores));
  EXPECT_EQ(net.graph.eval_outputs[0].value, graph::Argument(net.scores));
  EXPECT_FALSE(drop_final_activation(net.graph)) << "once is enough";
}

TEST(FinalActivation, UsedElsewhereIsNotDropped) {
  Net net;
  const ValueId probabilities = net.activated("aten::softmax.int", {1});
  net.builder.outputs({{"logits", probabilities}, {"best", net.builder.call("aten::max", {probabilities})}});
  EXPECT_THROW(drop_final_activation(net.graph), Unsupported);
  EXPECT_EQ(name_of(net.graph), "softmax in activation") << "the graph stands";
}

}  // namespace
}  // namespace limbeck::passes
