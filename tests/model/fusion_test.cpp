#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "limbeck/graph/builder.h"
#include "limbeck/model/model.h"
#include "tests/model/networks.h"

namespace limbeck {
namespace {

using testing::is_equal;
using testing::normal;
using testing::residual_network;
using testing::tensor_of;

Model trained_network() {
  Model model(residual_network());
  model.to(at::MemoryFormat::ChannelsLast);
  model.train();
  return model;
}

at::Tensor images(uint64_t seed) { return normal({4, 3, 8, 8}, seed).contiguous(at::MemoryFormat::ChannelsLast); }

/// Forward and backward of one step; the random numbers of dropout are the same for equal seeds.
Outputs step(Model& model, const RunOptions& options, uint64_t seed) {
  at::manual_seed(seed);
  Outputs outputs = model.forward(images(seed), options);
  outputs.logits().square().sum().backward();
  return outputs;
}

TEST(Fusion, TrainingRunsEqualUnfusedOnesUpToRounding) {
  Model fused = trained_network();
  Model plain = fused.clone();
  for (uint64_t seed = 0; seed < 3; ++seed) {
    const Outputs ours = step(fused, {.fusion = Fusion::training}, seed), theirs = step(plain, {}, seed);
    EXPECT_TRUE(at::allclose(ours.logits(), theirs.logits(), 1e-5, 1e-6));
  }
  const auto ours = fused.named_parameters(), theirs = plain.named_parameters();
  for (std::size_t i = 0; i < ours.size(); ++i)
    EXPECT_TRUE(at::allclose(ours[i].tensor.grad(), theirs[i].tensor.grad(), 1e-4, 1e-4)) << ours[i].name;
  const auto buffers = fused.named_buffers(), expected = plain.named_buffers();
  for (std::size_t i = 0; i < buffers.size(); ++i)
    EXPECT_TRUE(at::allclose(buffers[i].tensor, expected[i].tensor, 1e-6, 1e-6)) << buffers[i].name;
  EXPECT_EQ(tensor_of(fused, "bn1.num_batches_tracked").item<int64_t>(), 3);
}

TEST(Fusion, ReportsWhatItFused) {
  Model model = trained_network();
  const passes::FusionReport report = model.fusion_report({.fusion = Fusion::training});
  EXPECT_EQ(report.fused.at("batch_norm + relu"), 1);
  EXPECT_EQ(report.fused.at("batch_norm + add + relu"), 1);
  EXPECT_TRUE(report.left.empty());
  EXPECT_TRUE(model.fusion_report({}).empty());
}

TEST(Fusion, RepeatsItsBits) {
  Model first = trained_network();
  Model second = first.clone();
  for (Model* model : {&first, &second}) step(*model, {.fusion = Fusion::training}, 3);
  const auto one = first.named_parameters(), two = second.named_parameters();
  for (std::size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(is_equal(one[i].tensor.grad(), two[i].tensor.grad()));
}

/// Under autocast the normalised value is bfloat16; what is added to it in place may be float32.
TEST(Fusion, SumsInPlaceKeepTheTypeOfTheNormalisedValue) {
  graph::Graph graph;
  graph::Builder builder(graph);
  const graph::ValueId x = builder.input("x", {graph::IntExpr::symbol("B"), 4, 6, 6});
  const graph::ValueId weight = builder.parameter("conv.weight", normal({4, 4, 1, 1}, 1));
  const graph::ValueId convolved = builder.call("aten::conv2d", {x, weight});
  const graph::ValueId normalized = builder.call("aten::batch_norm", {convolved,
                                                                      {},
                                                                      {},
                                                                      builder.buffer("bn.running_mean", at::zeros({4})),
                                                                      builder.buffer("bn.running_var", at::ones({4})),
                                                                      false,
                                                                      0.1,
                                                                      1e-5,
                                                                      true});
  const graph::ValueId sum = builder.call("aten::add.Tensor", {normalized, x});
  graph.edit(sum.node).was_in_place = true;
  builder.outputs({{"out", builder.call("aten::relu", {sum})}});
  Model model(graph);
  model.train();
  const at::Tensor input = normal({3, 4, 6, 6}, 2).contiguous(at::MemoryFormat::ChannelsLast);
  const Autocast autocast(at::kBFloat16);
  ASSERT_EQ(model.fusion_report({.fusion = Fusion::training}).fused.count("batch_norm + add + relu"), 1U);
  const at::Tensor fused = model.forward(input, {.fusion = Fusion::training}).logits();
  EXPECT_EQ(fused.scalar_type(), at::kBFloat16);
  EXPECT_TRUE(at::allclose(fused, model.forward(input).logits(), 1e-2, 1e-2));
}

TEST(Fusion, KeepsTappedValues) {
  Model fused = trained_network();
  Model plain = fused.clone();
  for (const std::string tap : {"bn1", "bn2", "relu", "conv2"}) {
    const Outputs ours = step(fused, {.taps = {tap}, .fusion = Fusion::training}, 1);
    const Outputs theirs = step(plain, {.taps = {tap}}, 1);
    EXPECT_TRUE(at::allclose(ours.tap(tap), theirs.tap(tap), 1e-5, 1e-5)) << tap;
  }
}

TEST(Fusion, LeavesFrozenScopesAndEvalRunsAsTheyAre) {
  Model model = trained_network();
  Model plain = model.clone();
  model.eval("bn1"), plain.eval("bn1");
  const passes::FusionReport report = model.fusion_report({.fusion = Fusion::training});
  EXPECT_EQ(report.fused.count("batch_norm + relu"), 0U);
  EXPECT_EQ(report.left, std::vector<std::string>{"bn1: its statistics are frozen"});
  step(model, {.fusion = Fusion::training}, 1);
  EXPECT_TRUE(is_equal(tensor_of(model, "bn1.running_mean"), tensor_of(plain, "bn1.running_mean")));
  EXPECT_FALSE(at::equal(tensor_of(model, "bn2.running_mean"), tensor_of(plain, "bn2.running_mean")));
  model.eval();
  const at::Tensor x = images(7);
  EXPECT_TRUE(is_equal(model.forward(x, {.fusion = Fusion::training}).logits(), model.forward(x).logits()));
}

TEST(Fusion, DiscardsStateUpdatesWhenTold) {
  Model model = trained_network();
  const at::Tensor before = tensor_of(model, "bn1.running_mean").clone();
  model.forward(images(1), {.state_updates = StateUpdates::discard, .fusion = Fusion::training});
  EXPECT_TRUE(is_equal(tensor_of(model, "bn1.running_mean"), before));
}

TEST(Fusion, LeavesTheModelsGraphAlone) {
  Model model = trained_network();
  step(model, {.fusion = Fusion::training}, 1);
  for (const graph::NodeId id : model.graph().order())
    EXPECT_FALSE(model.graph().node(id).op->is("limbeck::batch_norm_act"));
}

}  // namespace
}  // namespace limbeck
