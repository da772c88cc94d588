// What a set does around its steps: roles, identity, accumulation, clipping, closures, float16.
#include "limbeck/train/optimize.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include "limbeck/core/error.h"
#include "limbeck/graph/builder.h"
#include "limbeck/train/optim/gradients.h"
#include "limbeck/train/optim/optimizer.h"
#include "tests/train/set_networks.h"

namespace limbeck::train {
namespace {

using namespace testing;

constexpr double kTolerance = 1e-6;

at::Tensor loss_of(ModelSet& set, const Batch& batch, std::string_view name = "m") {
  return at::cross_entropy_loss(set.forward(name, batch.x).logits().to(at::kFloat), batch.y);
}

void train_steps(ModelSet& set, int steps, std::string_view name = "m") {
  for (int step = 0; step < steps; ++step) {
    set.backward(loss_of(set, batch_of(static_cast<uint64_t>(step)), name));
    set.step();
  }
}

// --- roles -------------------------------------------------------------------------------------------------------

TEST(OptimizeRoles, LeaveTheHandlesModes) {
  Model student = classifier(6, 1), teacher = classifier(6, 2);
  teacher.train();
  const OptimizerPtr optimizer = make_optimizer(Kind::sgd, student.parameters());
  ModelSet set = optimize({{"m", student, Role::train}, {"t", teacher, Role::eval}}, {optimizer.get()});
  const at::Tensor x = batch_of(1).x;
  const at::Tensor t = set.forward("t", x).logits();
  train_steps(set, 1);
  EXPECT_FALSE(student.is_training());
  EXPECT_TRUE(teacher.is_training());
  teacher.eval();
  EXPECT_TRUE(at::equal(t, teacher(x)));  // the role ran it in eval mode
}

TEST(OptimizeRoles, ScopesKeepAModeOfTheirOwn) {
  Model student = classifier(6, 1);
  student.eval("bn1");  // frozen statistics, while the rest trains
  const at::Tensor mean = student.graph().parameter("bn1.running_mean").tensor;
  const at::Tensor other = student.graph().parameter("bn2.running_mean").tensor.clone();
  const at::Tensor before = mean.clone();
  const OptimizerPtr optimizer = make_optimizer(Kind::sgd, student.parameters());
  ModelSet set = optimize({{"m", student, Role::train}}, {optimizer.get()});
  train_steps(set, 1);
  EXPECT_TRUE(at::equal(mean, before));
  EXPECT_FALSE(at::equal(student.graph().parameter("bn2.running_mean").tensor, other));
}

TEST(OptimizeRoles, NotGivenFollowsOwnershipAndMode) {
  const Model student = classifier(6, 1), teacher = classifier(6, 2);
  const OptimizerPtr optimizer = make_optimizer(Kind::sgd, student.parameters());
  const ModelSet set = optimize({{"m", student}, {"t", teacher}}, {optimizer.get()});
  EXPECT_EQ(set.role("m"), Role::train);
  EXPECT_EQ(set.role("t"), Role::eval);
}

TEST(OptimizeRoles, OnlyTrainedModelsRecordGradients) {
  const Model student = classifier(6, 1), teacher = classifier(6, 2);
  const OptimizerPtr optimizer = make_optimizer(Kind::sgd, student.parameters());
  ModelSet set =
      optimize({{"m", student, Role::train}, {"t", teacher, frozen_train(Buffers::keep)}}, {optimizer.get()});
  const at::Tensor x = batch_of(1).x;
  EXPECT_TRUE(set.forward("m", x).logits().requires_grad());
  EXPECT_FALSE(set.forward("t", x).logits().requires_grad());
  const at::NoGradGuard no_grad;
  EXPECT_FALSE(set.forward("m", x).logits().requires_grad());
}

TEST(OptimizeRoles, FrozenModelHandsGradientsToItsInputAlone) {
  const Model student = linear_adapter(4, 6, 1), judge = linear_adapter(6, 3, 2);
  const OptimizerPtr optimizer = make_optimizer(Kind::sgd, student.parameters());
  ModelSet set = optimize({{"m", student, Role::train}, {"judge", judge, Role::eval}}, {optimizer.get()});
  const at::Tensor x = at::ones({2, 4});
  const at::Tensor y = set.forward("judge", set.forward("m", x)["y"])["y"];
  set.backward(y.sum());
  const at::Tensor expected = judge.parameters("weight")[0].detach().sum(0).mul(2).unsqueeze(1).expand({6, 4});
  EXPECT_TRUE(at::allclose(student.parameters("weight")[0].grad(), expected));
  for (const at::Tensor& parameter : judge.parameters()) {
    EXPECT_FALSE(parameter.grad().defined());
    EXPECT_TRUE(parameter.requires_grad());
  }
}

TEST(OptimizeRoles, GradientsLeftInATeacherAreNotUsed) {
  const Model student = classifier(6, 1), teacher = classifier(6, 2);
  for (const at::Tensor& parameter : teacher.parameters()) parameter.mutable_grad() = at::ones_like(parameter);
  const OptimizerPtr optimizer = make_optimizer(Kind::rmsprop, joined(student.parameters(), teacher.parameters()));
  ModelSet set = optimize({{"m", student, Role::train}, {"t", teacher, Role::eval}}, {optimizer.get()});
  const std::vector<at::Tensor> before = snapshot(teacher);
  train_steps(set, 2);
  EXPECT_TRUE(is_bit_equal(teacher, before));
  EXPECT_TRUE(teacher.parameters()[0].grad().defined());  // and they are still there
  EXPECT_EQ(set.report().optimizers[0].of_frozen_models, 8);
}

// --- identity ----------------------------------------------------------------------------------------------------

TEST(OptimizeIdentity, EmaTeacherIsAClone) {
  const Model student = classifier(6, 1), ema = student.clone();
  const OptimizerPtr optimizer = make_optimizer(Kind::sgd, student.parameters());
  ModelSet set = optimize({{"m", student, Role::train}, {"ema", ema, Role::eval}}, {optimizer.get()});
  const Model before = student.clone();
  for (int step = 0; step < 3; ++step) {
    const Batch batch = batch_of(static_cast<uint64_t>(step));
    set.backward(loss_of(set, batch) +
                 at::mse_loss(set.forward("m", batch.x).logits(), set.forward("ema", batch.x).logits()));
    set.step();
    const at::NoGradGuard no_grad;
    const auto own = student.parameters(), averaged = ema.parameters();
    for (std::size_t i = 0; i < own.size(); ++i) averaged[i].lerp_(own[i], 0.5);
  }
  EXPECT_TRUE(unmoved_parameters(student, before).empty());
  EXPECT_TRUE(unmoved_parameters(ema, before).empty());
  EXPECT_GT(largest_difference(student, ema), 1e-3);
}

/// Two models on one set of tensors, one role train, the other eval: train wins.
TEST(OptimizeIdentity, SharedModulesAreTrainedByTheTrainedModel) {
  const Model student = classifier(6, 1), alone = classifier(6, 1), before = classifier(6, 1);
  const Model teacher = student.with_own_modes();
  const OptimizerPtr shared = make_optimizer(Kind::sgd, student.parameters());
  ModelSet set = optimize({{"t", teacher, Role::eval}, {"m", student, Role::train}}, {shared.get()}, Precision::bf16);
  seed_everything(3);
  for (int step = 0; step < 3; ++step) {
    const Batch batch = batch_of(static_cast<uint64_t>(step));
    set.forward("t", batch.x);  // without gradients, on the same weights, before the student
    set.backward(loss_of(set, batch));
    set.step();
  }
  EXPECT_TRUE(unmoved_parameters(student, before).empty());
  const OptimizerPtr optimizer = make_optimizer(Kind::sgd, alone.parameters());
  ModelSet reference = optimize({{"m", alone, Role::train}}, {optimizer.get()}, Precision::bf16);
  seed_everything(3);
  train_steps(reference, 3);
  EXPECT_EQ(largest_difference(student, alone), 0);
  EXPECT_EQ(set.report().models[0].shared.front(), "'conv1.weight' with 'm'");
}

/// Around a whole step, autocast's cache of weights outlives the teacher's run, which records no gradients.
TEST(OptimizeIdentity, SharedModulesAreTrainedUnderAnOuterAutocast) {
  const Model student = classifier(6, 1), teacher = student.with_own_modes();
  const OptimizerPtr optimizer = make_optimizer(Kind::sgd, student.parameters());
  for (const Precision precision : {Precision::fp32, Precision::bf16}) {
    ModelSet set = optimize({{"t", teacher, Role::eval}, {"m", student, Role::train}}, {optimizer.get()}, precision);
    const Batch batch = batch_of(1);
    {
      const Autocast outer(at::kBFloat16);
      set.forward("t", batch.x);
      set.backward(loss_of(set, batch));
    }
    for (const NamedTensor& parameter : student.named_parameters()) {
      EXPECT_TRUE(parameter.tensor.grad().defined()) << parameter.name;
    }
    set.step();
  }
}

Model tied_network() {
  graph::Graph graph;
  graph::Builder builder(graph);
  const graph::ValueId x = builder.input("x", {graph::IntExpr::symbol("B"), 5});
  const at::Tensor weight = at::eye(5) * 0.5;
  const graph::ValueId first = builder.parameter("first.weight", weight),
                       second = builder.parameter("second.weight", weight);
  builder.outputs({{"y", builder.call("aten::linear", {builder.call("aten::linear", {x, first}), second})}});
  return Model(std::move(graph));
}

TEST(OptimizeIdentity, TiedParametersAreOne) {
  const Model model = tied_network();
  ASSERT_EQ(model.parameters().size(), 1U);
  const OptimizerPtr optimizer = make_optimizer(Kind::sgd, model.parameters());
  ModelSet set = optimize({{"m", model, Role::train}}, {optimizer.get()});
  const at::Tensor x = at::ones({1, 5}), weight = model.parameters()[0];
  const at::Tensor by_hand = weight.detach().clone().requires_grad_();
  const OptimizerPtr eager = make_optimizer(Kind::sgd, {by_hand});
  for (int step = 0; step < 3; ++step) {
    set.backward(set.forward("m", x)["y"].square().sum());
    set.step();
    at::linear(at::linear(x, by_hand), by_hand).square().sum().backward();
    step_eagerly(*eager);
  }
  EXPECT_LE((weight - by_hand).abs().max().item<double>(), kTolerance);
}

TEST(OptimizeIdentity, FrozenParametersArePassedOverAndMayThawLater) {
  Model model = classifier(6, 1);
  const OptimizerPtr optimizer = make_optimizer(Kind::sgd, model.parameters());
  model.freeze("^conv1");
  ModelSet set = optimize({{"m", model, Role::train}}, {optimizer.get()});
  const Model before = model.clone();
  train_steps(set, 2);
  EXPECT_EQ(unmoved_parameters(model, before), std::vector<std::string>{"conv1.weight"});
  EXPECT_EQ(set.report().optimizers[0].frozen, 1);
  model.parameters("^conv1")[0].set_requires_grad(true);
  train_steps(set, 1);
  EXPECT_TRUE(unmoved_parameters(model, before).empty());
  EXPECT_EQ(set.report().optimizers[0].frozen, 0);
}

TEST(OptimizeIdentity, GroupsAddedLaterAreTrained) {
  const Model model = classifier(6, 1);
  const OptimizerPtr optimizer = make_optimizer(Kind::adagrad, model.parameters("^fc"));
  ModelSet set = optimize({{"m", model, Role::train}}, {optimizer.get()});
  const Model before = model.clone();
  train_steps(set, 1);
  EXPECT_EQ(unmoved_parameters(model, before).size(), 6U);
  EXPECT_EQ(set.report().models[0].unowned.size(), 6U);
  add_group(*optimizer, model.parameters("^(?!fc)"));
  train_steps(set, 1);
  EXPECT_TRUE(unmoved_parameters(model, before).empty());
}

TEST(OptimizeIdentity, CalledAgainOnTheSameModelsGoesOn) {
  const Model once = classifier(6, 1), twice = classifier(6, 1);
  const OptimizerPtr first = make_optimizer(Kind::sgd, once.parameters());
  const OptimizerPtr second = make_optimizer(Kind::sgd, twice.parameters());
  seed_everything(3);
  ModelSet whole = optimize({{"m", once, Role::train}}, {first.get()});
  train_steps(whole, 2);
  train_steps(whole, 2);
  seed_everything(3);
  ModelSet a = optimize({{"m", twice, Role::train}}, {second.get()});
  train_steps(a, 2);
  ModelSet b = optimize({{"m", twice, Role::train}}, {second.get()});
  train_steps(b, 2);
  EXPECT_EQ(largest_difference(once, twice), 0);
}

TEST(OptimizeIdentity, OwnOptimizerIsTaken) {
  const Model model = classifier(6, 1), eager = classifier(6, 1);
  Optimizer own(model.named_parameters(), {.lr = 0.05, .weight_decay = 1e-3, .momentum = 0.9, .nesterov = true});
  const OptimizerPtr torch = make_optimizer(Kind::sgd, eager.parameters());
  ModelSet set = optimize({{"m", model, Role::train}}, {&own});
  ModelSet reference = optimize({{"m", eager, Role::train}}, {torch.get()});
  seed_everything(3);
  train_steps(set, 5);
  seed_everything(3);
  train_steps(reference, 5);
  EXPECT_LE(largest_difference(model, eager), kTolerance);
  EXPECT_TRUE(set.report().optimizers[0].is_fused);
}

TEST(OptimizeFusion, IsReportedAndCanBeTurnedOff) {
  const Model model = classifier(6, 1);
  const OptimizerPtr optimizer = make_optimizer(Kind::sgd, model.parameters());
  const std::vector<SetModel> models{{"m", model, Role::train}};
  const ModelSet fused = optimize(models, {optimizer.get()});
  EXPECT_EQ(fused.report().models[0].notes.fused, std::vector<std::string>{"2 times batch_norm + relu"});
  const ModelSet plain = optimize(models, {optimizer.get()}, Precision::fp32, {.fusion = Fusion::none});
  EXPECT_TRUE(plain.report().models[0].notes.fused.empty());
}

TEST(OptimizeFusion, EvalRunsHaveEagersBits) {
  Model model = classifier(6, 1);
  ModelSet set = optimize({{"m", model, Role::eval}}, {});
  const at::Tensor x = batch_of(1).x;
  EXPECT_TRUE(at::equal(set.forward("m", x).logits(), model(x)));
}

// --- steps -------------------------------------------------------------------------------------------------------

at::Tensor adapter_loss(ModelSet& set, const at::Tensor& x) { return set.forward("m", x)["y"].square().mean(); }

/// Without batch norm, micro-batches add up to the large batch; a short last group is a mean as well.
TEST(OptimizeSteps, AccumulationEqualsTheLargeBatch) {
  const Model model = linear_adapter(4, 3, 1), large = linear_adapter(4, 3, 1);
  const OptimizerPtr a = make_optimizer(Kind::adamw, model.parameters());
  const OptimizerPtr b = make_optimizer(Kind::adamw, large.parameters());
  ModelSet set = optimize({{"m", model, Role::train}}, {a.get()}, Precision::fp32, {.clip_norm = 0.5, .accumulate = 4});
  ModelSet reference = optimize({{"m", large, Role::train}}, {b.get()}, Precision::fp32, {.clip_norm = 0.5});
  const at::Tensor x = at::arange(96, at::kFloat).sin().reshape({24, 4});
  for (int64_t micro = 0; micro < 4; ++micro) {
    set.backward(adapter_loss(set, x.narrow(0, 4 * micro, 4)));
    EXPECT_EQ(set.step().is_updated, micro == 3);
  }
  reference.backward(adapter_loss(reference, x.narrow(0, 0, 16)));
  reference.step();
  EXPECT_LE(largest_difference(model, large), kTolerance);

  for (int64_t micro = 4; micro < 6; ++micro) {
    set.backward(adapter_loss(set, x.narrow(0, 4 * micro, 4)));
    EXPECT_FALSE(set.step().is_updated);
  }
  EXPECT_TRUE(set.finish_accumulation().is_updated);
  EXPECT_FALSE(set.finish_accumulation().is_updated);
  reference.backward(adapter_loss(reference, x.narrow(0, 16, 8)));
  reference.step();
  EXPECT_LE(largest_difference(model, large), kTolerance);
}

double norm_of(const Model& model) {
  double square = 0;
  for (const at::Tensor& parameter : model.parameters()) square += parameter.grad().square().sum().item<double>();
  return std::sqrt(square);
}

/// By a fused rule, which clips as it steps, and by an optimizer of its own step(), whose gradients are clipped first.
TEST(OptimizeSteps, ClipAsPyTorchAndTellTheNormBefore) {
  for (const Kind kind : {Kind::sgd, Kind::rmsprop}) {
    const Model model = linear_adapter(4, 3, 1), eager = linear_adapter(4, 3, 1);
    const OptimizerPtr optimizer = make_optimizer(kind, model.parameters());
    const OptimizerPtr reference = make_optimizer(kind, eager.parameters());
    ModelSet set = optimize({{"m", model, Role::train}}, {optimizer.get()}, Precision::fp32, {.clip_norm = 0.01});
    for (int step = 0; step < 3; ++step) {
      const at::Tensor x = at::ones({2, 4}) * (step + 1);
      set.backward(adapter_loss(set, x));
      const double norm = norm_of(model);
      EXPECT_NEAR(set.step().grad_norm, norm, 1e-5);
      EXPECT_NEAR(norm_of(model), kind == Kind::sgd ? norm : 0.01, 1e-6);  // gradients stay readable after the step
      adapter_by_hand(eager, x).square().mean().backward();
      clip_grad_norm(eager.named_parameters(), 0.01);
      step_eagerly(*reference);
      EXPECT_LE(largest_difference(model, eager), kTolerance);
    }
  }
}

TEST(OptimizeSteps, SeveralLossesAddUpAndZeroGradForgets) {
  const Model model = linear_adapter(4, 3, 1);
  const OptimizerPtr optimizer = make_optimizer(Kind::sgd, model.parameters());
  ModelSet set = optimize({{"m", model, Role::train}}, {optimizer.get()});
  const at::Tensor weight = model.parameters("weight")[0], x = at::ones({2, 4});
  const at::Tensor loss = adapter_loss(set, x);
  set.backward(loss, RetainGraph::yes);
  const at::Tensor once = weight.grad().clone();
  set.backward(loss);
  EXPECT_TRUE(at::allclose(weight.grad(), 2 * once));
  set.zero_grad();
  EXPECT_FALSE(weight.grad().defined());
  set.backward(adapter_loss(set, x));
  EXPECT_TRUE(at::equal(weight.grad(), once));
  set.step();
  set.backward(adapter_loss(set, x * 0));
  EXPECT_EQ(weight.grad().abs().max().item<double>(), 0);  // those of the step before are forgotten
}

TEST(OptimizeSteps, LbfgsEvaluatesByItsClosure) {
  const Model model = linear_adapter(4, 3, 1), eager = linear_adapter(4, 3, 1);
  const OptimizerPtr a = make_optimizer(Kind::lbfgs, model.parameters());
  const OptimizerPtr b = make_optimizer(Kind::lbfgs, eager.parameters());
  ModelSet set = optimize({{"m", model, Role::train}}, {a.get()});
  const at::Tensor x = at::arange(32, at::kFloat).sin().reshape({8, 4});
  const auto eager_loss = [&] {
    for (const at::Tensor& parameter : eager.parameters()) parameter.mutable_grad().reset();
    const at::Tensor loss = adapter_by_hand(eager, x).sub(1).square().mean();
    loss.backward();
    return loss;
  };
  int evaluations = 0;
  for (int step = 0; step < 3; ++step) {
    const SetStep made = set.step([&] {
      ++evaluations;
      const at::Tensor loss = set.forward("m", x)["y"].sub(1).square().mean();
      set.backward(loss);
      return loss;
    });
    EXPECT_TRUE(made.is_updated);
    step_eagerly(*b, eager_loss);
  }
  EXPECT_GT(evaluations, 3);
  EXPECT_LE(largest_difference(model, eager), kTolerance);
  EXPECT_LT(adapter_by_hand(model, x).sub(1).square().mean().item<double>(), 0.5);
}

TEST(OptimizeSteps, ClosureThatFailsHalfWayLeavesWeights) {
  const Model model = linear_adapter(4, 3, 1);
  const OptimizerPtr optimizer = make_optimizer(Kind::lbfgs, model.parameters());
  ModelSet set = optimize({{"m", model, Role::train}}, {optimizer.get()});
  const std::vector<at::Tensor> before = snapshot(model);
  int evaluations = 0;
  const std::string message = message_of<InvalidArgument>([&] {
    set.step([&] {
      const double factor = ++evaluations < 3 ? 1.0 : std::numeric_limits<double>::infinity();
      const at::Tensor loss = adapter_loss(set, at::ones({2, 4})) * factor;
      set.backward(loss);
      return loss;
    });
  });
  EXPECT_EQ(evaluations, 3);
  EXPECT_EQ(message.find("[optimize] the loss became infinite or NaN in step 1"), 0U);
  EXPECT_TRUE(is_bit_equal(model, before));
}

/// One closure serves an optimizer that needs it and one that does not.
TEST(OptimizeSteps, ClosureWithBothKindsOfOptimizers) {
  const Model model = linear_adapter(4, 3, 1), before = linear_adapter(4, 3, 1);
  const OptimizerPtr weight = make_optimizer(Kind::lbfgs, model.parameters("weight"));
  const OptimizerPtr bias = make_optimizer(Kind::sgd, model.parameters("bias"));
  ModelSet set = optimize({{"m", model, Role::train}}, {weight.get(), bias.get()});
  set.step([&] {
    const at::Tensor loss = set.forward("m", at::ones({2, 4}))["y"].sub(1).square().mean();
    set.backward(loss);
    return loss;
  });
  EXPECT_TRUE(unmoved_parameters(model, before).empty());
}

// --- float16 -----------------------------------------------------------------------------------------------------

TEST(OptimizeFloat16, OverflowSkipsTheStepAndLowersTheScale) {
  const Model model = classifier(6, 1);
  const OptimizerPtr optimizer = make_optimizer(Kind::sgd, model.parameters());
  ModelSet set = optimize({{"m", model, Role::train}}, {optimizer.get()}, Precision::fp16);
  const Model before = model.clone();
  const auto step = [&] {
    set.backward(set.forward("m", batch_of(1).x).logits().to(at::kFloat).sum());  // a gradient of 1 times the scale
    return set.step();
  };
  const SetStep first = step();  // 65536 is above float16's 65504
  EXPECT_TRUE(first.is_skipped);
  EXPECT_FALSE(first.is_updated);
  EXPECT_EQ(set.scaler()->scale(), 32768);
  EXPECT_EQ(unmoved_parameters(model, before).size(), 8U);
  SetStep later = step();
  for (int attempt = 0; later.is_skipped && attempt < 10; ++attempt) later = step();
  EXPECT_TRUE(later.is_updated);
  EXPECT_LT(unmoved_parameters(model, before).size(), 8U);
}

TEST(OptimizeFloat16, TrainsCloseToFloat32) {
  const Model half = classifier(6, 1), full = classifier(6, 1), before = classifier(6, 1);
  const OptimizerPtr a = make_optimizer(Kind::adamw, half.parameters()),
                     b = make_optimizer(Kind::adamw, full.parameters());
  ModelSet scaled =
      optimize({{"m", half, Role::train}}, {a.get()}, Precision::fp16, {.scaler = {.initial_scale = 256}});
  ModelSet plain = optimize({{"m", full, Role::train}}, {b.get()});
  seed_everything(3);
  train_steps(scaled, 5);
  seed_everything(3);
  train_steps(plain, 5);
  EXPECT_TRUE(unmoved_parameters(half, before).empty());
  EXPECT_LE(largest_difference(half, full), 5 * 2 * 3e-3);  // at most an AdamW step (the rate) each way for each step
  EXPECT_EQ(half.parameters()[0].scalar_type(), at::kFloat);
  EXPECT_EQ(plain.scaler(), nullptr);
}

// --- members and optimizers of one's own ----------------------------------------------------------------------------

/// y = w · x, as a module of another library would be.
class ForeignModule : public SetMember {
 public:
  at::Tensor weight = at::full({1}, 2.0).requires_grad_();
  std::vector<MemberRun> runs;

  std::string type() const override { return "foreign::Scale"; }
  std::vector<NamedTensor> parameters() const override { return {{"w", weight}}; }
  std::vector<NamedTensor> buffers() const override { return {}; }
  bool is_training() const override { return true; }
  MemberNotes notes(Precision) const override { return {.left = {"a module: nothing is fused"}}; }
  Outputs run(const Inputs& inputs, const MemberRun& how) override {
    runs.push_back(how);
    Outputs outputs;
    outputs.tensors.push_back({"y", weight * inputs.tensors()[0].tensor});
    return outputs;
  }
};

/// p -= lr · gradient
class ForeignOptimizer : public OptimizerAdapter {
 public:
  explicit ForeignOptimizer(at::Tensor parameter) : parameter_(std::move(parameter)) {}
  std::string name() const override { return "foreign.Sgd"; }
  const void* identity() const override { return this; }
  std::vector<ParameterGroup> groups() const override { return {{.parameters = {parameter_}, .lr = 0.5}}; }
  at::Tensor step(const LossClosure&) override {
    const at::NoGradGuard no_grad;
    parameter_.sub_(parameter_.grad(), 0.5);
    return {};
  }
  StepSupport support() const override { return {.reason = "its own step()"}; }
  std::vector<at::Tensor> state_of(const at::Tensor&) const override { return {}; }

 private:
  at::Tensor parameter_;
};

TEST(OptimizeAdapters, ForeignModuleAndOptimizer) {
  const auto module = std::make_shared<ForeignModule>();
  const auto optimizer = std::make_shared<ForeignOptimizer>(module->weight);
  ModelSet set = optimize({{"m", MemberRef(module), Role::train}}, {OptimizerRef(optimizer)});
  set.backward(set.forward("m", at::full({1}, 3.0), {.taps = {"inside"}})["y"].sum());
  set.step();
  EXPECT_EQ(module->weight.item<double>(), 0.5);
  ASSERT_EQ(module->runs.size(), 1U);
  EXPECT_EQ(module->runs[0].mode, graph::Mode::train);
  EXPECT_EQ(module->runs[0].state_updates, StateUpdates::apply);
  EXPECT_EQ(module->runs[0].taps, std::vector<std::string>{"inside"});
  optimizer->zero_grad();
  EXPECT_FALSE(module->weight.grad().defined());
}

TEST(OptimizeAdapters, EnterPutsTheRoleAroundACall) {
  const Model student = classifier(6, 1), teacher = classifier(6, 2);
  const OptimizerPtr optimizer = make_optimizer(Kind::sgd, student.parameters());
  ModelSet set = optimize({{"m", student, Role::train}, {"t", teacher, frozen_train(Buffers::update)}},
                          {optimizer.get()}, Precision::bf16);
  const at::Tensor a = at::ones({2, 2}), b = at::ones({2, 2}).requires_grad_();
  const std::vector<at::Tensor> plain{a};
  {
    const RoleScope scope = set.enter("t", plain);
    EXPECT_FALSE(at::GradMode::is_enabled());
    EXPECT_EQ(at::matmul(a, a).scalar_type(), at::kBFloat16);
    EXPECT_EQ(scope.run().mode, graph::Mode::train);
    EXPECT_EQ(scope.run().state_updates, StateUpdates::apply);
  }
  EXPECT_TRUE(at::GradMode::is_enabled());
  EXPECT_EQ(at::matmul(a, a).scalar_type(), at::kFloat);
  const RoleScope scope = set.enter("m", plain);
  EXPECT_TRUE(at::GradMode::is_enabled());
}

TEST(RoleScope, RestoresWhatItHadChangedWhenItCannotBeMade) {
  const MemberRun run = run_of(Role::eval, Fusion::none);
  WeightCache weights;
  const std::vector<at::Tensor> nowhere{at::empty({1}, at::kMeta)};  // a device that has no autocast
  EXPECT_ANY_THROW(RoleScope(run, Role::eval, Precision::bf16, {}, nowhere, weights));
  EXPECT_TRUE(at::autocast::is_autocast_cache_enabled());
  EXPECT_TRUE(at::GradMode::is_enabled());
}

TEST(RoleScope, FreezesParametersWhileGradientsFlowThroughThem) {
  WeightCache weights;
  const at::Tensor weight = at::ones({1}).requires_grad_(), fixed = at::ones({1});
  const std::vector<NamedTensor> parameters{{"weight", weight}, {"fixed", fixed}};
  const std::vector<at::Tensor> inputs{at::ones({1}).requires_grad_()};
  {
    const RoleScope scope(run_of(Role::eval, Fusion::none), Role::eval, Precision::fp32, parameters, inputs, weights);
    EXPECT_FALSE(weight.requires_grad());
  }
  EXPECT_TRUE(weight.requires_grad());
  EXPECT_FALSE(fixed.requires_grad());
}

}  // namespace
}  // namespace limbeck::train
