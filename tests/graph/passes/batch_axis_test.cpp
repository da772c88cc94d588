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

using Results = std::vector<std::pair<std::string, ValueId>>;

/// A pair of exports at batch `batch`: `build` returns what train mode gives, of which eval mode gives the first.
BatchAxisResult free_pair(int64_t batch, const graph::Sizes& rest,
                          const std::function<Results(graph::Builder&, ValueId x)>& build, Graph* freed = nullptr) {
  at::manual_seed(3);
  Graph graph;
  graph::Builder b(graph);
  graph::Sizes all{batch};
  all.insert(all.end(), rest.begin(), rest.end());
  const ValueId x = b.input("x", all);
  const Results results = build(b, x);
  b.outputs(results);
  graph.eval_outputs.resize(1);
  const BatchAxisResult result = free_batch_axis(graph);
  EXPECT_EQ(graph.inputs[0].type.tensor()->sizes->front().is_constant(), !result.is_freed);
  if (freed != nullptr) *freed = std::move(graph);
  return result;
}

ValueId batch_norm(graph::Builder& b, const std::string& name, ValueId x) {
  const ValueId mean = b.buffer(name + ".running_mean", at::full({2}, 0.3)),
                variance = b.buffer(name + ".running_var", at::full({2}, 1.7));
  return b.call("aten::batch_norm", {x, graph::None{}, graph::None{}, mean, variance, true, 0.1, 1e-5, false});
}

ValueId convolution(graph::Builder& b, const std::string& name, ValueId x) {
  return b.call("aten::conv2d", {x, b.parameter(name, at::randn({2, 2, 3, 3})), graph::None{}, ArgumentList{1, 1},
                                 ArgumentList{1, 1}, ArgumentList{1, 1}, 1});
}

TEST_P(BatchAxis, FreesTrainOutputsOfConvolutionsNormsAndDropout) {  // the auxiliary head of GoogLeNet
  Graph freed;
  const BatchAxisResult result = free_pair(
      GetParam(), {2, 4, 4},
      [](graph::Builder& b, ValueId x) {
        const ValueId stem = b.call("aten::relu", {batch_norm(b, "bn", convolution(b, "conv", x))});
        const ValueId head = b.call("aten::dropout", {b.call("aten::mean.dim", {stem, ArgumentList{2, 3}}), 0.5, true});
        const ValueId aux = batch_norm(b, "aux.bn", convolution(b, "aux.conv", stem));
        const ValueId pooled = b.call("aten::mean.dim", {aux, ArgumentList{2, 3}});
        return Results{{"logits", head}, {"aux", b.call("aten::dropout", {pooled, 0.7, true})}};
      },
      &freed);
  ASSERT_TRUE(result.is_freed) << result.reason;
  EXPECT_EQ(freed.type(*freed.train_outputs[1].value.value()).tensor()->sizes->at(0), IntExpr::symbol("B"));
}

TEST_P(BatchAxis, FreesDrawsOfOneNumberPerSample) {
  if (GetParam() == 1) return;  // one draw for one sample: see OfADrawForAllSamples
  const BatchAxisResult result = free_pair(GetParam(), {4}, [](graph::Builder& b, ValueId x) {
    const ValueId kept = b.call("aten::rand", {sizes({b.graph().type(x).tensor()->sizes->at(0), 1})});
    return Results{{"out", b.call("aten::relu", {x})}, {"noisy", b.call("aten::mul.Tensor", {x, kept})}};
  });
  EXPECT_TRUE(result.is_freed) << result.reason;
}

TEST(BatchAxisRefusal, OfADrawForAllSamples) {
  const std::string why = refusal(
      [](graph::Builder& b, ValueId x, const IntExpr&) {
        const ValueId draw = b.call("aten::rand", {sizes({1, 1, 1, 1})});
        return b.call("aten::mul.Tensor", {x, b.call("aten::floor", {b.call("aten::add.Scalar", {draw, 0.99999})})});
      },
      {2, 4, 4}, 1);
  EXPECT_NE(why.find("aten::rand in 'block' draws the same random numbers for all samples"), std::string::npos) << why;
  EXPECT_NE(why.find("dynamic_shapes="), std::string::npos) << why;
}

TEST(BatchAxisRefusal, OfALossOverTheBatchInTrainMode) {
  const BatchAxisResult result = free_pair(4, {6}, [](graph::Builder& b, ValueId x) {
    const ValueId out = b.call("aten::relu", {x});
    return Results{{"out", out}, {"aux", b.call("aten::div.Scalar", {b.call("aten::sum", {out}), 4})}};
  });
  EXPECT_FALSE(result.is_freed);
  EXPECT_NE(result.reason.find("in train mode"), std::string::npos) << result.reason;
  EXPECT_NE(result.reason.find("dynamic_shapes="), std::string::npos) << result.reason;
}

/// The two passes differ by their dropout masks alone: without randomness the loss is zero at every batch size.
TEST(BatchAxisRefusal, OfALossThatIsZeroWithoutRandomness) {
  const BatchAxisResult result = free_pair(4, {6}, [](graph::Builder& b, ValueId x) {
    const ValueId one = b.call("aten::dropout", {x, 0.5, true}), two = b.call("aten::dropout", {x, 0.5, true});
    const ValueId sum = b.call("aten::sum", {b.call("aten::sub.Tensor", {one, two})});
    return Results{{"out", one}, {"aux", b.call("aten::div.Scalar", {sum, 4})}};
  });
  EXPECT_FALSE(result.is_freed);
  EXPECT_NE(result.reason.find("the output 'aux' of train mode has no axis for the batch"), std::string::npos)
      << result.reason;
}

TEST(BatchAxisRefusal, OfSamplesThatMeetInTrainMode) {
  const BatchAxisResult result = free_pair(1, {6}, [](graph::Builder& b, ValueId x) {
    const ValueId mean = b.call("aten::mean.dim", {x, ArgumentList{0}, true});
    return Results{{"out", b.call("aten::relu", {x})}, {"centred", b.call("aten::sub.Tensor", {x, mean})}};
  });
  EXPECT_FALSE(result.is_freed);
  EXPECT_NE(result.reason.find("three single runs in train mode: output 1 of sample 0"), std::string::npos)
      << result.reason;
}

TEST(BatchAxisRefusal, OfSamplesThatMeetBehindByMode) {
  const std::string why = refusal(
      [](graph::Builder& b, ValueId x, const IntExpr&) {
        const ValueId mean = b.call("aten::mean.dim", {x, ArgumentList{0}, true});
        return b.call("aten::relu", {b.call("limbeck::by_mode", {b.call("aten::sub.Tensor", {x, mean}), x})});
      },
      {4}, 1);
  EXPECT_NE(why.find("three single runs in train mode"), std::string::npos) << why;
}

TEST(BatchAxisRefusal, OfABufferThatTakesAValueOfTheBatch) {
  const BatchAxisResult result = free_pair(4, {6}, [](graph::Builder& b, ValueId x) {
    b.buffer("average", at::zeros({6}));
    const ValueId sum = b.call("aten::sum.dim_IntList", {x, ArgumentList{0}});
    b.graph().state_writes.push_back(
        {.buffer = "average", .value = b.call("aten::div.Scalar", {sum, 4}), .when = graph::Mode::train, .scope = 0});
    return Results{{"out", b.call("aten::relu", {x})}};
  });
  EXPECT_FALSE(result.is_freed);
  EXPECT_NE(result.reason.find("the buffer 'average' takes a value that is made of a whole batch"), std::string::npos)
      << result.reason;
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
