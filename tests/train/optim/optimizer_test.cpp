#include "limbeck/train/optim/optimizer.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "limbeck/core/error.h"
#include "limbeck/train/optim/rules/split_sgd.h"

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

TEST(Optimizer, TakesARateOfZero) {
  const at::Tensor weight = leaf({1, -2, 3, 0.5});
  Optimizer optimizer({{"w", weight}}, {.lr = 0});
  run_steps(optimizer, weight);
  expect_near(weight, {1, -2, 3, 0.5});
  EXPECT_THROW(Optimizer({{"w", weight}}, {.lr = -0.1}), InvalidArgument);
}

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
const OptimizerOptions kAmsgrad{.kind = OptimizerKind::adam, .lr = 0.1, .weight_decay = 0.1, .amsgrad = true};
const OptimizerOptions kAdagrad{.kind = OptimizerKind::adagrad, .lr = 0.1, .adagrad = {.lr_decay = 0.1}};
const OptimizerOptions kLamb{.kind = OptimizerKind::lamb, .lr = 0.1, .weight_decay = 0.1};
const OptimizerOptions kLars{.kind = OptimizerKind::lars, .lr = 0.1, .layerwise = {.trust_coefficient = 0.1}};
INSTANTIATE_TEST_SUITE_P(Kinds, OptimizerState, testing::Values(kSgd, kAdamW, kAmsgrad, kAdagrad, kLamb, kLars),
                         [](const auto& tested) { return std::string(optimizer_name(tested.param.kind)); });

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

TEST_P(OptimizerState, IsAsItWasAfterARefusal) {
  const at::Tensor weight = leaf({1, 2});
  Optimizer optimizer({{"w", weight}}, GetParam());
  run_steps(optimizer, weight);
  std::vector<NamedTensor> state = optimizer.state();
  std::vector<at::Tensor> before;
  for (const NamedTensor& entry : state) before.push_back(entry.tensor.clone());
  state.push_back({"exp_avg/unknown", at::ones({2})});
  EXPECT_THROW(optimizer.load_state(state), InvalidArgument);
  const std::vector<NamedTensor> after = optimizer.state();
  ASSERT_EQ(after.size(), before.size());
  for (std::size_t i = 0; i < before.size(); ++i) EXPECT_TRUE(at::equal(after[i].tensor, before[i]));
}

TEST(OptimizerState, IsRefusedWhereAPartIsMissing) {
  const at::Tensor weight = leaf({1, 2});
  Optimizer optimizer({{"w", weight}}, kAdamW);
  try {
    optimizer.load_state({{"exp_avg/w", at::ones({2})}, {"step/w", at::scalar_tensor(3, at::kLong)}});
    FAIL() << "accepted";
  } catch (const InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find("'exp_avg_sq/w' is missing"), std::string::npos) << error.what();
  }
}

TEST(OptimizerState, IsRefusedWhereAStepCountsNothing) {
  const at::Tensor weight = leaf({1, 2});
  Optimizer optimizer({{"w", weight}}, kAdamW);
  for (const double step : {std::numeric_limits<double>::quiet_NaN(), 1e300, -1.0, 0.5}) {
    try {
      optimizer.load_state({{"exp_avg/w", at::ones({2})},
                            {"exp_avg_sq/w", at::ones({2})},
                            {"step/w", at::scalar_tensor(step, at::kDouble)}});
      FAIL() << "accepted " << step;
    } catch (const InvalidArgument& error) {
      EXPECT_NE(std::string(error.what()).find("state 'step/w' must be a number of updates"), std::string::npos)
          << error.what();
    }
  }
}

TEST(Optimizer, GrowsInPlaceByManyGroups) {
  Optimizer optimizer({{"0", leaf({1})}}, {.momentum = 0});
  int num_moves = 0;
  for (int i = 1; i <= 2000; ++i) {
    const OptimizerGroup* const before = optimizer.groups().data();
    optimizer.add_group({{std::to_string(i), leaf({1})}}, {.lr = i * 1.0, .momentum = 0});
    if (optimizer.groups().data() != before) ++num_moves;
  }
  EXPECT_LE(num_moves, 20) << "each group copied all groups before it";
  ASSERT_EQ(optimizer.groups().size(), 2001U);
  EXPECT_EQ(optimizer.groups()[1234].options.lr, 1234);
  EXPECT_EQ(optimizer.groups()[1234].parameters[0].name, "1234");
}

TEST(Optimizer, StepsAGroupThatWasAddedLater) {
  const at::Tensor body = leaf({1}), head = leaf({1});
  Optimizer optimizer({{"body", body}}, {.lr = 0.1, .momentum = 0});
  optimizer.add_group({{"head", head}}, {.lr = 0.5, .momentum = 0});
  for (const at::Tensor& tensor : {body, head}) tensor.mutable_grad() = at::ones({1});
  optimizer.step();
  EXPECT_FLOAT_EQ(body.item<float>(), 0.9F);
  EXPECT_FLOAT_EQ(head.item<float>(), 0.5F);
  ASSERT_EQ(optimizer.groups().size(), 2U);
  EXPECT_EQ(optimizer.parameters().size(), 2U);
  EXPECT_THROW(optimizer.add_group({{"again", head}}, {}), InvalidArgument);
  EXPECT_THROW(optimizer.add_group({{"head", leaf({2})}}, {}), InvalidArgument);
  EXPECT_THROW(optimizer.add_group({{"other", leaf({2})}}, kAdamW), InvalidArgument);
  EXPECT_THROW(optimizer.add_group({{"new", leaf({2})}, {"new", leaf({2})}}, {}), InvalidArgument);
  EXPECT_THROW(optimizer.add_group({{"new", leaf({2})}, {"again", head}}, {}), InvalidArgument);
  EXPECT_EQ(optimizer.parameters().size(), 2U) << "a refusal left something behind";
  optimizer.add_group({{"new", leaf({2})}}, {});
  EXPECT_EQ(optimizer.parameters().size(), 3U);
}

TEST(OptimizerState, OfAParameterIsItsPartOfTheWhole) {
  const at::Tensor weight = leaf({2}), bias = leaf({1}), idle = leaf({1});
  Optimizer optimizer({{"weight", weight}, {"idle", idle}}, {.kind = OptimizerKind::adam});
  optimizer.add_group({{"bias", bias}}, {.kind = OptimizerKind::adam, .amsgrad = true});
  for (const at::Tensor& tensor : {weight, bias}) tensor.mutable_grad() = at::ones_like(tensor);
  optimizer.step();
  const auto names_of = [&](const at::Tensor& parameter) {
    std::vector<std::string> names;
    for (const NamedTensor& entry : optimizer.state_of(parameter)) names.push_back(entry.name);
    return names;
  };
  using Names = std::vector<std::string>;
  EXPECT_EQ(names_of(weight), (Names{"exp_avg/weight", "exp_avg_sq/weight", "step/weight"}));
  EXPECT_EQ(names_of(bias), (Names{"exp_avg/bias", "exp_avg_sq/bias", "max_exp_avg_sq/bias", "step/bias"}));
  EXPECT_EQ(names_of(idle), Names{});
  EXPECT_EQ(names_of(leaf({1})), Names{});
  EXPECT_EQ(optimizer.state().size(), 7U);
}

TEST(Optimizer, ReadsAndSetsTheRateOfAGroup) {
  const at::Tensor weight = leaf({1}), bias = leaf({1});
  Optimizer optimizer({{"weight", weight}, {"bias", bias}},
                      {.lr = 0.1, .momentum = 0, .groups = {{.pattern = "bias", .lr = 0.2}}});
  EXPECT_EQ(optimizer.groups()[0].options.lr, 0.2);
  EXPECT_EQ(optimizer.groups()[1].options.lr, 0.1);
  optimizer.set_lr(1, 0.3);
  for (const at::Tensor& tensor : {weight, bias}) tensor.mutable_grad() = at::ones({1});
  optimizer.step();
  EXPECT_FLOAT_EQ(weight.item<float>(), 0.7F);
  EXPECT_FLOAT_EQ(bias.item<float>(), 0.8F);
  EXPECT_THROW(optimizer.set_lr(2, 0.1), InvalidArgument);
  EXPECT_THROW(optimizer.set_lr(0, -0.1), InvalidArgument);
}

TEST(Optimizer, GroupsOverrideMoreThanTheRate) {
  const at::Tensor a = leaf({1}), b = leaf({1});
  Optimizer optimizer({{"a", a}, {"b", b}},
                      {.lr = 0.1, .momentum = 0.9, .groups = {{.pattern = "a", .momentum = 0.0}}});
  for (int i = 0; i < 2; ++i) {
    for (const at::Tensor& tensor : {a, b}) tensor.mutable_grad() = at::ones({1});
    optimizer.step();
  }
  EXPECT_FLOAT_EQ(a.item<float>(), 0.8F);
  EXPECT_FLOAT_EQ(b.item<float>(), 1 - 0.1F - 0.1F * 1.9F);
}

TEST(Optimizer, TakesPlainTensorsAndAScaleOfTheirGradients) {
  const at::Tensor weight = leaf({1});
  Optimizer optimizer(numbered(std::vector<at::Tensor>{weight}), {.lr = 0.1, .momentum = 0});
  EXPECT_EQ(optimizer.parameters().front().name, "0");
  weight.mutable_grad() = at::full({1}, 64.0F);
  optimizer.step(1, 1.0 / 64);
  EXPECT_FLOAT_EQ(weight.item<float>(), 0.9F);
}

TEST(Optimizer, SplitBf16KeepsTheTrajectoryOfFloat32) {
  const at::Tensor whole = at::randn({37, 5}).set_requires_grad(true);
  const SplitBf16 halves = split_bf16(whole);
  EXPECT_TRUE(at::equal(join_bf16(halves.top, halves.low_bits), whole));
  const at::Tensor top = halves.top.set_requires_grad(true);
  const OptimizerOptions options{.lr = 0.01, .weight_decay = 0.01, .momentum = 0.9, .nesterov = true};
  OptimizerOptions split_options = options;
  split_options.master_weights = MasterWeights::split_bf16;
  Optimizer plain({{"w", whole}}, options), split({{"w", top}}, split_options);
  split.load_state({{"low_bits/w", halves.low_bits}});
  for (int step = 0; step < 100; ++step) {
    top.mutable_grad() = at::randn({37, 5}).to(at::kBFloat16);
    whole.mutable_grad() = top.grad().to(at::kFloat);
    plain.step();
    split.step();
  }
  for (const NamedTensor& entry : split.state()) {
    if (entry.name == "low_bits/w") {
      EXPECT_TRUE(at::equal(join_bf16(top, entry.tensor), whole));
    }
  }
  ASSERT_EQ(split.state().size(), 2U);
  EXPECT_THROW(Optimizer({{"w", leaf({1})}}, split_options), InvalidArgument);
  split_options.kind = OptimizerKind::adam;
  EXPECT_THROW(Optimizer({{"w", top}}, split_options), InvalidArgument);
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
  EXPECT_THROW(Optimizer({{"w", leaf({1})}}, {.lr = -1}), InvalidArgument);
  EXPECT_THROW(Optimizer({{"w", leaf({1})}}, {.groups = {{.pattern = "bias"}}}), InvalidArgument);
  EXPECT_THROW(Optimizer({{"w", leaf({1})}}, {.groups = {{.pattern = "("}}}), InvalidArgument);
  EXPECT_THROW(parse_optimizer("adamax"), InvalidArgument);
}

}  // namespace
}  // namespace limbeck::train
