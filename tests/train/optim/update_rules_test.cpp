#include "limbeck/train/optim/update_rules.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>
#include <torch/optim/adagrad.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/sgd.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>

#include "limbeck/core/error.h"
#include "limbeck/train/optim/rules/operator_steps.h"

namespace limbeck::train {
namespace {

constexpr int kSteps = 100;
// Ours take ATen's operations in ATen's order, bits included where ATen runs with FMA; without, it rounds more often.
constexpr double kTolerance = 1e-6;

/// Layouts that parameters and their gradients come in.
struct Layout {
  const char* name;
  std::function<at::Tensor(const at::Tensor&)> parameter, gradient;
};

at::Tensor plain(const at::Tensor& tensor) { return tensor.contiguous().clone(); }
at::Tensor channels_last(const at::Tensor& tensor) {
  return tensor.dim() == 4 ? tensor.clone().contiguous(at::MemoryFormat::ChannelsLast) : plain(tensor);
}
/// Every second element of a larger tensor.
at::Tensor with_gaps(const at::Tensor& tensor) { return at::stack({tensor, tensor + 7}, -1).select(-1, 0); }
/// One number in all places, another one in each step: the same in all would round the same way each time, and where
/// weight decay cancels it, Adam would make full steps of what rounding leaves.
at::Tensor expanded(const at::Tensor& tensor) {
  const double spread = std::sqrt(std::max<double>(1, static_cast<double>(tensor.numel())));
  return tensor.sum().div(spread).expand(tensor.sizes());
}

std::vector<Layout> layouts() {
  return {{"contiguous", plain, plain},
          {"channels_last", channels_last, channels_last},
          {"gradient of another order", channels_last, plain},
          {"parameter with gaps", with_gaps, plain},
          {"gradient with gaps", plain, with_gaps},
          {"gradient expanded", channels_last, expanded}};
}

std::vector<at::Tensor> start_values(at::ScalarType type = at::kFloat) {
  at::Generator generator = at::detail::createCPUGenerator(1);
  std::vector<at::Tensor> result;
  for (const std::vector<int64_t>& sizes :
       {std::vector<int64_t>{}, {1}, {0, 3}, {17}, {5, 3}, {6, 4, 3, 3}, {181, 131}})
    result.push_back(at::randn(sizes, generator, at::kFloat).to(type));
  return result;
}

/// One training of parameters in a layout by gradients that depend on nothing but the step.
struct Training {
  explicit Training(const Layout& layout, at::ScalarType type = at::kFloat) : layout_(layout) {
    for (const at::Tensor& value : start_values(type))
      parameters.push_back(layout.parameter(value).set_requires_grad(true));
  }

  /// The last parameter has its first gradient in step 3.
  void set_gradients(int step) {
    at::Generator generator = at::detail::createCPUGenerator(100 + step);
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const at::Tensor value = at::randn(parameters[i].sizes(), generator, at::kFloat).to(parameters[i].scalar_type());
      const bool has_none = i + 1 == parameters.size() && step < 3;
      parameters[i].mutable_grad() = has_none ? at::Tensor() : layout_.gradient(value);
    }
  }

  std::vector<at::Tensor> parameters;

 private:
  Layout layout_;
};

void expect_close(const Training& actual, const std::vector<at::Tensor>& expected, double tolerance = kTolerance) {
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const at::Tensor difference = (actual.parameters[i].detach().to(at::kDouble) - expected[i].detach()).abs();
    const at::Tensor allowed = tolerance * expected[i].detach().to(at::kDouble).abs().clamp_min(1);
    EXPECT_TRUE((difference <= allowed).all().item<bool>())
        << "parameter " << i << ": " << (expected[i].numel() > 0 ? difference.max().item<double>() : 0);
  }
}

std::vector<SgdTensors> tensors_for(const SgdRule&, const at::Tensor& p) { return {{.parameter = p}}; }
std::vector<AdamTensors> tensors_for(const AdamRule&, const at::Tensor& p) { return {{.parameter = p}}; }
std::vector<AdagradTensors> tensors_for(const AdagradRule&, const at::Tensor& p) { return {{.parameter = p}}; }
std::vector<LambTensors> tensors_for(const LambRule&, const at::Tensor& p) { return {{.parameter = p}}; }
std::vector<LarsTensors> tensors_for(const LarsRule&, const at::Tensor& p) { return {{.parameter = p}}; }

void step(std::span<SgdTensors> t, const SgdRule& rule, double scale = 1) { sgd_step(t, rule, scale); }
void step(std::span<AdamTensors> t, const AdamRule& rule, double scale = 1) { adam_step(t, rule, scale); }
void step(std::span<AdagradTensors> t, const AdagradRule& rule, double scale = 1) { adagrad_step(t, rule, scale); }
void step(std::span<LambTensors> t, const LambRule& rule, double scale = 1) { lamb_step(t, rule, scale); }
void step(std::span<LarsTensors> t, const LarsRule& rule, double scale = 1) { lars_step(t, rule, scale); }

/// Runs our rule on a training, all parameters in each call.
template <class Rule>
auto run(Training& training, const Rule& rule, int steps = kSteps) {
  decltype(tensors_for(rule, at::Tensor())) items;
  for (const at::Tensor& parameter : training.parameters) items.push_back(tensors_for(rule, parameter).front());
  for (int i = 0; i < steps; ++i) {
    training.set_gradients(i);
    for (std::size_t p = 0; p < items.size(); ++p) items[p].gradient = training.parameters[p].grad();
    step(items, rule);
  }
  return items;
}

template <class Torch, class Options, class Rule>
void expect_equal_to_torch(const Options& options, const Rule& rule) {
  for (const Layout& layout : layouts()) {
    SCOPED_TRACE(layout.name);
    Training ours(layout), theirs(layout);
    Torch optimizer(theirs.parameters, options);
    for (int i = 0; i < kSteps; ++i) {
      theirs.set_gradients(i);
      optimizer.step();
    }
    run(ours, rule);
    expect_close(ours, theirs.parameters);
  }
}

TEST(SgdStep, EqualsTorchsInEveryLayout) {
  using Options = torch::optim::SGDOptions;
  const auto expect = [](const Options& options, const SgdRule& rule) {
    expect_equal_to_torch<torch::optim::SGD>(options, rule);
  };
  expect(Options(0.01), {.lr = 0.01});
  expect(Options(0.01).weight_decay(0.1), {.lr = 0.01, .weight_decay = 0.1});
  expect(Options(0.01).momentum(0.9), {.lr = 0.01, .momentum = 0.9});
  expect(Options(0.01).momentum(0.9).dampening(0.3), {.lr = 0.01, .momentum = 0.9, .dampening = 0.3});
  expect(Options(0.01).momentum(0.9).nesterov(true).weight_decay(0.1),
         {.lr = 0.01, .momentum = 0.9, .weight_decay = 0.1, .nesterov = true});
}

TEST(AdamStep, EqualsTorchsInEveryLayout) {
  using Options = torch::optim::AdamOptions;
  for (const bool amsgrad : {false, true}) {
    for (const double decay : {0.0, 0.1}) {
      expect_equal_to_torch<torch::optim::Adam>(
          Options(0.01).weight_decay(decay).amsgrad(amsgrad).betas({0.8, 0.95}).eps(1e-6),
          AdamRule{.lr = 0.01, .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-6, .weight_decay = decay, .amsgrad = amsgrad});
    }
  }
}

TEST(AdamStep, EqualsTorchsWithDecoupledDecay) {
  using Options = torch::optim::AdamWOptions;
  for (const bool amsgrad : {false, true}) {
    expect_equal_to_torch<torch::optim::AdamW>(
        Options(0.01).weight_decay(0.1).amsgrad(amsgrad),
        AdamRule{.lr = 0.01, .weight_decay = 0.1, .decay = AdamDecay::decoupled, .amsgrad = amsgrad});
  }
}

TEST(AdagradStep, EqualsTorchsInEveryLayout) {
  using Options = torch::optim::AdagradOptions;
  for (const double start : {0.0, 0.5}) {
    expect_equal_to_torch<torch::optim::Adagrad>(
        Options(0.1).lr_decay(0.05).weight_decay(0.1).initial_accumulator_value(start),
        AdagradRule{.lr = 0.1, .lr_decay = 0.05, .weight_decay = 0.1, .initial_accumulator = start});
  }
}

/// LAMB by the paper's formulas in float64.
void reference(const LambRule& rule, const at::Tensor& p, const at::Tensor& g, std::vector<at::Tensor>& state, int t) {
  if (state.empty()) state = {at::zeros_like(p), at::zeros_like(p)};
  state[0] = rule.beta1 * state[0] + (1 - rule.beta1) * g;
  state[1] = rule.beta2 * state[1] + (1 - rule.beta2) * g * g;
  const at::Tensor m = state[0] / (1 - std::pow(rule.beta1, t)), v = state[1] / (1 - std::pow(rule.beta2, t));
  const at::Tensor r = m / (v.sqrt() + rule.eps) + rule.weight_decay * p;
  const double p_norm = p.norm().item<double>(), r_norm = r.norm().item<double>();
  const bool plain_rate = p_norm == 0 || r_norm == 0 || (rule.adaptation == Adaptation::matrices && p.dim() < 2);
  p.sub_(r * (rule.lr * (plain_rate ? 1 : p_norm / r_norm)));
}

/// LARS by the paper's formulas in float64.
void reference(const LarsRule& rule, const at::Tensor& p, const at::Tensor& g, std::vector<at::Tensor>& state, int) {
  if (state.empty()) state = {at::zeros_like(p)};
  const double p_norm = p.norm().item<double>(), g_norm = g.norm().item<double>();
  const bool plain_rate = p_norm == 0 || g_norm == 0 || (rule.adaptation == Adaptation::matrices && p.dim() < 2);
  const double ratio = plain_rate ? 1 : rule.trust_coefficient * p_norm / (g_norm + rule.weight_decay * p_norm);
  state[0] = rule.momentum * state[0] + rule.lr * ratio * (g + rule.weight_decay * p);
  p.sub_(state[0]);
}

template <class Rule>
std::vector<at::Tensor> reference_run(const Rule& rule, const Layout& layout) {
  Training training(layout);
  std::vector<at::Tensor> wide;
  for (const at::Tensor& parameter : training.parameters) wide.push_back(parameter.detach().to(at::kDouble));
  std::vector<std::vector<at::Tensor>> states(wide.size());
  std::vector<int> steps(wide.size());
  for (int i = 0; i < kSteps; ++i) {
    training.set_gradients(i);
    for (std::size_t p = 0; p < wide.size(); ++p) {
      const at::Tensor gradient = training.parameters[p].grad();
      if (gradient.defined()) reference(rule, wide[p], gradient.to(at::kDouble), states[p], ++steps[p]);
    }
  }
  return wide;
}

template <class Rule>
void expect_equal_to_reference(const Rule& rule) {
  for (const Layout& layout : layouts()) {
    SCOPED_TRACE(layout.name);
    Training ours(layout);
    run(ours, rule);
    expect_close(ours, reference_run(rule, layout), 2e-6);  // float32 against float64, over 100 steps
  }
}

TEST(LambStep, EqualsThePapersFormulas) {
  for (const Adaptation adaptation : {Adaptation::all, Adaptation::matrices})
    expect_equal_to_reference(LambRule{.lr = 0.01, .weight_decay = 0.1, .adaptation = adaptation});
}

TEST(LarsStep, EqualsThePapersFormulas) {
  for (const Adaptation adaptation : {Adaptation::all, Adaptation::matrices}) {
    expect_equal_to_reference(
        LarsRule{.lr = 0.1, .weight_decay = 0.1, .trust_coefficient = 0.01, .adaptation = adaptation});
  }
}

TEST(LayerwiseSteps, TakeThePlainRateFromAZeroStart) {
  const at::Tensor lars = at::zeros({4, 4}), lamb = at::zeros({4, 4}), gradient = at::ones({4, 4});
  std::vector<LarsTensors> lars_items = {{.parameter = lars, .gradient = gradient}};
  std::vector<LambTensors> lamb_items = {{.parameter = lamb, .gradient = gradient}};
  lars_step(lars_items, {.lr = 0.5});
  lamb_step(lamb_items, {.lr = 0.5});
  EXPECT_TRUE(at::allclose(lars, at::full({4, 4}, -0.5)));
  EXPECT_TRUE(at::allclose(lamb, at::full({4, 4}, -0.5)));
}

template <class Rule>
class EveryRule : public testing::Test {};
using Rules = testing::Types<SgdRule, AdamRule, AdagradRule, LambRule, LarsRule>;
TYPED_TEST_SUITE(EveryRule, Rules);

template <class Rule>
Rule with_momentum(Rule rule) {
  if constexpr (requires { rule.momentum; }) rule.momentum = 0.9;
  return rule;
}

TYPED_TEST(EveryRule, KeepsFloat64ToItsOwnPrecision) {
  const TypeParam rule = with_momentum(TypeParam{.lr = 0.01});
  Training narrow(layouts()[0]), wide(layouts()[0], at::kDouble), gaps(layouts()[3], at::kDouble);
  run(narrow, rule);
  run(wide, rule);
  run(gaps, rule);
  expect_close(narrow, wide.parameters, 1e-5);
  expect_close(gaps, wide.parameters, 1e-14);
}

/// State as the rules make it before a first step by operators.
void make_state(SgdTensors&) {}
void make_state(AdamTensors& item) {
  item = {.parameter = item.parameter,
          .exp_avg = at::zeros_like(item.parameter),
          .exp_avg_sq = at::zeros_like(item.parameter),
          .max_exp_avg_sq = at::zeros_like(item.parameter)};
}
void make_state(AdagradTensors& item) { item.sum = at::zeros_like(item.parameter); }
void make_state(LambTensors& item) {
  item = {.parameter = item.parameter,
          .exp_avg = at::zeros_like(item.parameter),
          .exp_avg_sq = at::zeros_like(item.parameter)};
}
void make_state(LarsTensors& item) { item.momentum_buffer = at::zeros_like(item.parameter); }

TYPED_TEST(EveryRule, IsTheSameByOperatorsOfAten) {
  TypeParam rule = with_momentum(TypeParam{.lr = 0.01, .weight_decay = 0.1});
  rule.maximize = true;
  if constexpr (requires { rule.amsgrad; }) rule.amsgrad = true;
  if constexpr (requires { rule.nesterov; }) rule.nesterov = true;
  const at::NoGradGuard no_grad;
  Training by_kernels(layouts()[1]), by_operators(layouts()[1]);
  run(by_kernels, rule);
  decltype(tensors_for(rule, at::Tensor())) items;
  for (const at::Tensor& parameter : by_operators.parameters) {
    items.push_back(tensors_for(rule, parameter).front());
    make_state(items.back());
  }
  for (int i = 0; i < kSteps; ++i) {
    by_operators.set_gradients(i);
    for (std::size_t p = 0; p < items.size(); ++p) {
      items[p].gradient = by_operators.parameters[p].grad();
      if (!items[p].gradient.defined()) continue;
      if constexpr (requires { items[p].step; }) ++items[p].step;
      step_by_operators(items[p], rule, 1);
    }
  }
  expect_close(by_kernels, by_operators.parameters, 2e-6);  // float32 norms there, float64 ones here
}

TYPED_TEST(EveryRule, IsTheSameOnCuda) {
  if (!at::hasCUDA()) GTEST_SKIP() << "no CUDA device";
  const TypeParam rule = with_momentum(TypeParam{.lr = 0.01, .weight_decay = 0.1});
  const at::Tensor here = at::randn({40, 30}), there = here.to(at::kCUDA);
  auto here_items = tensors_for(rule, here), there_items = tensors_for(rule, there);
  for (int i = 0; i < 10; ++i) {
    here_items[0].gradient = at::randn({40, 30});
    there_items[0].gradient = here_items[0].gradient.to(at::kCUDA);
    step(here_items, rule);
    step(there_items, rule);
  }
  EXPECT_TRUE(at::allclose(here, there.cpu(), 1e-5, 1e-6));
}

TYPED_TEST(EveryRule, ComputesHalvesInFloat32) {
  TypeParam rule = with_momentum(TypeParam{.lr = 1});
  if constexpr (requires { rule.trust_coefficient; }) rule.trust_coefficient = 0.5;
  for (const at::ScalarType type : {at::kBFloat16, at::kHalf}) {
    const at::Tensor half = at::randn({33}).to(type);
    const at::Tensor gradient = at::randn({33}).sign().mul(0.5).to(type);  // its square must fit float16, as a moment
    const at::Tensor start = half.clone(), single = half.to(at::kFloat);
    auto half_items = tensors_for(rule, half), single_items = tensors_for(rule, single);
    half_items[0].gradient = gradient;
    single_items[0].gradient = gradient.to(at::kFloat);
    step(half_items, rule);
    step(single_items, rule);
    EXPECT_FALSE(at::equal(half, start));
    // The norms of LAMB, and what is read again of its moments, come from rounded states: one unit in the last place.
    const double unit = type == at::kHalf ? 0x1p-10 : 0x1p-7;
    EXPECT_TRUE(at::allclose(half.to(at::kFloat), single, unit, unit)) << half.to(at::kFloat) - single;
  }
}

TYPED_TEST(EveryRule, MaximizesByTheNegativeGradient) {
  TypeParam rule = with_momentum(TypeParam{.lr = 0.01});
  const at::Tensor up = at::ones({3, 3}), down = at::ones({3, 3}), gradient = at::randn({3, 3});
  auto up_items = tensors_for(rule, up), down_items = tensors_for(rule, down);
  for (int i = 0; i < 3; ++i) {
    rule.maximize = true;
    up_items[0].gradient = gradient;
    step(up_items, rule);
    rule.maximize = false;
    down_items[0].gradient = -gradient;
    step(down_items, rule);
  }
  EXPECT_TRUE(at::equal(up, down));
}

TYPED_TEST(EveryRule, TakesGradientsTimesTheScale) {
  const TypeParam rule = with_momentum(TypeParam{.lr = 0.01});
  const at::Tensor scaled = at::ones({5, 9}), plain_one = at::ones({5, 9}), gradient = at::randn({5, 9});
  auto scaled_items = tensors_for(rule, scaled), plain_items = tensors_for(rule, plain_one);
  const at::Tensor large = gradient * 1024;
  for (int i = 0; i < 3; ++i) {
    scaled_items[0].gradient = large;
    plain_items[0].gradient = gradient;
    step(scaled_items, rule, 1.0 / 1024);
    step(plain_items, rule);
  }
  EXPECT_TRUE(at::equal(scaled, plain_one));
  EXPECT_TRUE(at::equal(large, gradient * 1024)) << "the gradient was written to";
}

TYPED_TEST(EveryRule, NeverDependsOnTheNumberOfThreads) {
  const TypeParam rule = with_momentum(TypeParam{.lr = 0.01});
  const int threads = at::get_num_threads();
  const at::Tensor gradient = at::randn({300, 301}), start = at::randn({300, 301});
  std::vector<at::Tensor> results;
  for (const int count : {1, 2, 3}) {
    at::set_num_threads(count);
    auto items = tensors_for(rule, start.clone());
    items.push_back(tensors_for(rule, start.slice(0, 0, 100).clone()).front());
    items[0].gradient = gradient;
    items[1].gradient = gradient.slice(0, 0, 100);
    step(items, rule);
    results.push_back(at::cat({items[0].parameter, items[1].parameter}));
  }
  at::set_num_threads(threads);
  EXPECT_TRUE(at::equal(results[0], results[1]));
  EXPECT_TRUE(at::equal(results[0], results[2]));
  EXPECT_FALSE(at::equal(results[0].slice(0, 0, 300), start));
}

TYPED_TEST(EveryRule, TellsAutogradOfTheChange) {
  const TypeParam rule = with_momentum(TypeParam{.lr = 0.01});
  const at::Tensor weight = at::ones({3}).set_requires_grad(true);
  auto items = tensors_for(rule, weight);
  const at::Tensor loss = (weight * weight).sum();  // saves the weight
  items[0].gradient = at::ones({3});
  step(items, rule);
  EXPECT_THROW(loss.backward(), c10::Error);
}

template <class E, class Run>
std::string message_of(const Run& run) {
  try {
    run();
  } catch (const E& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TYPED_TEST(EveryRule, NamesTheParameterWhoseGradientDoesNotFit) {
  const TypeParam rule = with_momentum(TypeParam{.lr = 0.01});
  auto items = tensors_for(rule, at::ones({3}));
  items[0].name = "fc.bias";
  const auto message = [&](const at::Tensor& gradient) {
    items[0].gradient = gradient;
    return message_of<Error>([&] { step(items, rule); });
  };
  EXPECT_NE(message(at::ones({4})).find("parameter 'fc.bias' (Float 3 on cpu) needs a gradient of its own shape"),
            std::string::npos);
  EXPECT_NE(message(at::ones({3}, at::kDouble)).find("got Double 3 on cpu"), std::string::npos);
  const std::string sparse = message(at::ones({3}).to_sparse());
  EXPECT_NE(sparse.find("parameter 'fc.bias' has a sparse gradient"), std::string::npos) << sparse;
  EXPECT_TRUE(at::equal(items[0].parameter, at::ones({3})));
}

TYPED_TEST(EveryRule, RefusesValuesOutOfRange) {
  TypeParam rule = with_momentum(TypeParam{});
  rule.lr = -1;
  EXPECT_THROW(rule.validate(), InvalidArgument);
  rule.lr = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THROW(rule.validate(), InvalidArgument);
  rule.lr = 0;  // as warm-ups begin
  EXPECT_NO_THROW(rule.validate());
  rule.weight_decay = -0.1;
  EXPECT_THROW(rule.validate(), InvalidArgument);
}

TEST(SgdStep, RefusesStateOfAnotherShape) {
  std::vector<SgdTensors> items = {
      {.parameter = at::ones({3}), .gradient = at::ones({3}), .momentum_buffer = at::ones({2}), .name = "w"}};
  const std::string message = message_of<InvalidArgument>([&] { sgd_step(items, {.momentum = 0.9}); });
  EXPECT_NE(message.find("needs a state 'momentum_buffer' of its own shape"), std::string::npos) << message;
}

TEST(SgdStep, WritesToTheStateThatItIsGiven) {
  const at::Tensor buffer = at::full({2, 3}, 2.0).t().contiguous().t();  // another order than the parameter's
  std::vector<SgdTensors> items = {
      {.parameter = at::ones({2, 3}), .gradient = at::ones({2, 3}), .momentum_buffer = buffer}};
  sgd_step(items, {.lr = 1, .momentum = 0.5});
  EXPECT_TRUE(at::equal(buffer, at::full({2, 3}, 2.0)));  // 0.5 · 2 + 1
  EXPECT_TRUE(at::equal(items[0].parameter, at::full({2, 3}, -1.0)));
  EXPECT_TRUE(items[0].momentum_buffer.is_same(buffer));
}

}  // namespace
}  // namespace limbeck::train
