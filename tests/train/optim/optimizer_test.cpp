#include "limbeck/train/optim/optimizer.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "limbeck/core/error.h"

namespace limbeck::train {
namespace {

at::Tensor leaf(std::vector<float> values) { return at::tensor(values).set_requires_grad(true); }

/// Three steps on step/6 · Σ w³, whose gradient is step/2 · w².
void run_steps(Optimizer& optimizer, const at::Tensor& weight, int first = 1, int last = 3) {
  for (int step = first; step <= last; ++step) {
    optimizer.zero_grad();
    (weight.pow(3).sum() * step / 6).backward();
    optimizer.step(1);
  }
}

void expect_near(const at::Tensor& actual, const std::vector<float>& expected) {
  EXPECT_TRUE(at::allclose(actual.detach(), at::tensor(expected), 1e-6, 1e-7)) << actual;
}

const OptimizerOptions kSgd{.lr = 0.1, .weight_decay = 0.01, .momentum = 0.9, .nesterov = true};
const OptimizerOptions kAdamW{.kind = OptimizerKind::adamw, .lr = 0.1, .weight_decay = 0.1};

// Expected values: torch.optim of Python, same settings and gradients.
TEST(Optimizer, SgdEqualsPyTorchs) {
  const at::Tensor weight = leaf({1, -2, 3, 0.5});
  Optimizer optimizer({{"w", weight}}, kSgd);
  run_steps(optimizer, weight);
  expect_near(weight, {0.458101928, -7.90138197, -0.0358413011, 0.341483265});
}

TEST(Optimizer, AdamWEqualsPyTorchs) {
  const at::Tensor weight = leaf({1, -2, 3, 0.5});
  Optimizer optimizer({{"w", weight}}, kAdamW);
  run_steps(optimizer, weight);
  expect_near(weight, {0.67539376, -2.22777891, 2.61917853, 0.188682005});
}

class OptimizerState : public testing::TestWithParam<OptimizerOptions> {};
INSTANTIATE_TEST_SUITE_P(Kinds, OptimizerState, testing::Values(kSgd, kAdamW));

TEST_P(OptimizerState, ContinuesBitForBitAfterSaveAndLoad) {
  const at::Tensor whole = leaf({1, -2, 3, 0.5}), halves = leaf({1, -2, 3, 0.5});
  Optimizer unbroken({{"w", whole}}, GetParam()), first({{"w", halves}}, GetParam());
  run_steps(unbroken, whole, 1, 4);
  run_steps(first, halves, 1, 2);
  Optimizer second({{"w", halves}}, GetParam());
  second.load_state(first.state());
  run_steps(second, halves, 3, 4);
  EXPECT_TRUE(at::equal(whole, halves));
}

TEST_P(OptimizerState, RefusesStateOfOtherParameters) {
  const at::Tensor weight = leaf({1, 2}), other = leaf({1, 2, 3});
  Optimizer from({{"w", weight}}, GetParam());
  run_steps(from, weight);
  EXPECT_THROW(Optimizer({{"v", weight}}, GetParam()).load_state(from.state()), InvalidArgument);
  EXPECT_THROW(Optimizer({{"w", other}}, GetParam()).load_state(from.state()), InvalidArgument);
}

TEST_P(OptimizerState, BelongsToTheParameterOfExactlyThisName) {
  const at::Tensor own = leaf({1, 2}), companion = leaf({1, 2});
  Optimizer from({{"norm.weight", own}, {"adapter0/norm.weight", companion}}, GetParam());
  run_steps(from, companion);  // the other one has no gradient, so no state
  Optimizer to({{"norm.weight", own}, {"adapter0/norm.weight", companion}}, GetParam());
  to.load_state(from.state());
  const std::vector<NamedTensor> state = to.state();
  ASSERT_EQ(state.size(), from.state().size());
  for (const NamedTensor& entry : state) EXPECT_TRUE(entry.name.ends_with("/adapter0/norm.weight")) << entry.name;
  run_steps(to, own);  // the first step of a parameter without state
}

TEST_P(OptimizerState, TakesTheLayoutOfItsParameter) {
  const auto weight = [] { return at::ones({4, 3, 2, 2}).to(at::MemoryFormat::ChannelsLast).set_requires_grad(true); };
  const at::Tensor first = weight(), second = weight();
  Optimizer from({{"w", first}}, GetParam()), to({{"w", second}}, GetParam());
  run_steps(from, first);
  std::vector<NamedTensor> row_major = from.state();
  for (NamedTensor& entry : row_major) entry.tensor = entry.tensor.contiguous();
  to.load_state(row_major);
  for (const NamedTensor& entry : to.state()) {
    if (entry.tensor.dim() != 4) continue;  // the number of steps
    EXPECT_EQ(entry.tensor.strides(), second.strides()) << entry.name;
  }
}

TEST(Optimizer, GroupsTakeTheFirstPatternThatMatches) {
  const at::Tensor weight = leaf({1}), bias = leaf({1}), norm = leaf({1});
  Optimizer optimizer(
      {{"conv.weight", weight}, {"conv.bias", bias}, {"norm.bias", norm}},
      {.lr = 0.1,
       .weight_decay = 1,
       .momentum = 0,
       .groups = {{.pattern = "norm", .lr = 0.01, .weight_decay = 0}, {.pattern = "bias$", .weight_decay = 0}}});
  for (const at::Tensor& tensor : {weight, bias, norm}) tensor.mutable_grad() = at::ones({1});
  optimizer.step(1);
  EXPECT_FLOAT_EQ(weight.item<float>(), 1 - 0.1F * 2);
  EXPECT_FLOAT_EQ(bias.item<float>(), 1 - 0.1F);
  EXPECT_FLOAT_EQ(norm.item<float>(), 1 - 0.01F);
}

TEST(Optimizer, FactorScalesEveryGroupsRate) {
  const at::Tensor weight = leaf({1});
  Optimizer optimizer({{"w", weight}}, {.lr = 0.1, .momentum = 0});
  weight.mutable_grad() = at::ones({1});
  optimizer.step(0.5);
  EXPECT_FLOAT_EQ(weight.item<float>(), 0.95F);
}

TEST(Optimizer, TakesTiedTensorsOnceAndFrozenOnesNever) {
  const at::Tensor tied = leaf({1}), frozen = at::ones({1});
  const Optimizer optimizer({{"a", tied}, {"b", tied}, {"c", frozen}}, kSgd);
  ASSERT_EQ(optimizer.parameters().size(), 1U);
  EXPECT_EQ(optimizer.parameters().front().name, "a");
}

TEST(Optimizer, RefusesWhatCannotTrain) {
  EXPECT_THROW(Optimizer({{"w", at::ones({1})}}, kSgd), InvalidArgument);
  EXPECT_THROW(Optimizer({{"w", leaf({1})}}, {.lr = 0}), InvalidArgument);
  EXPECT_THROW(Optimizer({{"w", leaf({1})}}, {.groups = {{.pattern = "bias"}}}), InvalidArgument);
  EXPECT_THROW(Optimizer({{"w", leaf({1})}}, {.groups = {{.pattern = "("}}}), InvalidArgument);
  EXPECT_THROW(parse_optimizer("adam"), InvalidArgument);
}

}  // namespace
}  // namespace limbeck::train
