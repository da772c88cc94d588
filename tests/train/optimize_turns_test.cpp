// Sets whose optimizers step one at a time, and what is said when one of several fails.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "limbeck/core/error.h"
#include "limbeck/train/optimize.h"
#include "tests/train/set_networks.h"

namespace limbeck::train {
namespace {

using namespace testing;

at::Tensor inputs_of(int step) { return at::arange(16, at::kFloat).add(step).sin().reshape({4, 4}); }

/// A generator of three numbers from four, and a judge of three numbers.
struct Pair {
  Model generator = linear_adapter(4, 3, 1), judge = linear_adapter(3, 1, 2);
  OptimizerPtr of_generator = make_optimizer(Kind::adamw, generator.parameters());
  OptimizerPtr of_judge = make_optimizer(Kind::sgd, judge.parameters());

  ModelSet set(Precision precision, const SetOptions& options = {}) const {
    return optimize({{"generator", generator, Role::train}, {"judge", judge, Role::train}},
                    {of_judge.get(), of_generator.get()}, precision, options);
  }
};

at::Tensor generated(ModelSet& set, int step) { return set.forward("generator", inputs_of(step))["y"].to(at::kFloat); }
at::Tensor judged(ModelSet& set, const at::Tensor& x) { return set.forward("judge", x)["y"].to(at::kFloat); }

at::Tensor judge_loss(ModelSet& set, int step) {
  return judged(set, generated(set, step).detach()).exp().mean() - judged(set, at::ones({4, 3})).mean();
}
at::Tensor generator_loss(ModelSet& set, int step) { return -judged(set, generated(set, step)).mean(); }

/// The judge's loss leaves nothing in the generator, and what the generator's leaves in the judge is forgotten.
TEST(OptimizeTurns, EqualTheHandWrittenLoop) {
  const Pair pair, eager;
  ModelSet set = pair.set(Precision::fp32);
  for (int step = 0; step < 10; ++step) {
    set.zero_grad(pair.of_judge.get());
    set.backward(judge_loss(set, step));
    EXPECT_TRUE(set.step(pair.of_judge.get()).is_updated);
    set.zero_grad(pair.of_generator.get());
    set.backward(generator_loss(set, step));
    EXPECT_TRUE(set.step(pair.of_generator.get()).is_updated);
    set.update_scale();  // nothing in fp32

    const at::Tensor fake = adapter_by_hand(eager.generator, inputs_of(step));
    (adapter_by_hand(eager.judge, fake.detach()).exp().mean() - adapter_by_hand(eager.judge, at::ones({4, 3})).mean())
        .backward();
    step_eagerly(*eager.of_judge);
    (-adapter_by_hand(eager.judge, adapter_by_hand(eager.generator, inputs_of(step))).mean()).backward();
    step_eagerly(*eager.of_generator);
    for (const at::Tensor& parameter : eager.judge.parameters()) parameter.mutable_grad().reset();
  }
  EXPECT_LE(largest_difference(pair.generator, eager.generator), 1e-6);
  EXPECT_LE(largest_difference(pair.judge, eager.judge), 1e-6);
}

TEST(OptimizeTurns, LeaveTheOthersGradientsAndParameters) {
  const Pair pair;
  ModelSet set = pair.set(Precision::fp32);
  set.backward(generator_loss(set, 1));
  const at::Tensor kept = pair.generator.parameters()[0].grad().clone();
  const std::vector<at::Tensor> before = snapshot(pair.generator);
  set.step(pair.of_judge.get());
  EXPECT_TRUE(is_bit_equal(pair.generator, before));
  set.backward(generator_loss(set, 1));  // adds to the generator's, begins anew for the judge
  EXPECT_FALSE(at::equal(pair.generator.parameters()[0].grad(), kept));
  const at::Tensor of_judge = pair.judge.parameters()[0].grad().clone();
  set.zero_grad();
  set.backward(generator_loss(set, 1));
  EXPECT_TRUE(at::equal(pair.judge.parameters()[0].grad(), of_judge));
}

/// step() of all takes the turn of those that have not stepped from their gradients.
TEST(OptimizeTurns, NeedABackwardOfTheirOwn) {
  const Pair pair, stranger;
  ModelSet set = pair.set(Precision::fp32);
  EXPECT_EQ(message_of<InvalidArgument>([&] { set.step(pair.of_judge.get()); }),
            "[optimize] step of torch::optim::SGD without a backward() of the set since its last");
  set.backward(generator_loss(set, 1));
  EXPECT_TRUE(set.step(pair.of_judge.get()).is_updated);
  EXPECT_THROW(set.step(pair.of_judge.get()), InvalidArgument);
  EXPECT_EQ(message_of<InvalidArgument>([&] { set.step(stranger.of_judge.get()); }),
            "[optimize] torch::optim::SGD is none of the 2 optimizers of the set");
  ModelSet slow = pair.set(Precision::fp32, {.accumulate = 2});
  slow.backward(generator_loss(slow, 1));
  EXPECT_EQ(message_of<InvalidArgument>([&] {
              slow.step(pair.of_judge.get());
            }).find("[optimize] a step of torch::optim::SGD alone updates at once: accumulate must be 1, got 2."),
            0U);
}

TEST(OptimizeTurns, NormAndClippingAreTheirOwn) {
  const Pair pair;
  ModelSet set = pair.set(Precision::fp32);
  set.backward(generator_loss(set, 1));
  double square = 0;
  for (const at::Tensor& parameter : pair.judge.parameters()) square += parameter.grad().square().sum().item<double>();
  EXPECT_NEAR(set.step(pair.of_judge.get()).grad_norm, std::sqrt(square), 1e-6);
}

/// As torch.amp.GradScaler: who overflows is skipped, the others step, and the scale is lowered once, at the end.
TEST(OptimizeTurns, ScaleIsUpdatedOnceAnIteration) {
  const Pair pair;
  ModelSet set = pair.set(Precision::fp16, {.scaler = {.initial_scale = 16}});
  set.backward(judge_loss(set, 1) * 1e38);  // times the scale: above float32
  EXPECT_TRUE(set.step(pair.of_judge.get()).is_skipped);
  EXPECT_EQ(set.scaler()->scale(), 16);
  set.zero_grad(pair.of_generator.get());
  set.backward(generator_loss(set, 1));
  EXPECT_TRUE(set.step(pair.of_generator.get()).is_updated);
  EXPECT_EQ(set.scaler()->scale(), 16);
  set.backward(generator_loss(set, 1));
  EXPECT_EQ(
      message_of<InvalidArgument>([&] { set.step(pair.of_generator.get()); }),
      "[optimize] torch::optim::AdamW has stepped since the last update_scale(): call it once an iteration, after "
      "the steps of all optimizers");
  set.update_scale();
  EXPECT_EQ(set.scaler()->scale(), 8);
  EXPECT_THROW(set.update_scale(), InvalidArgument);
  set.zero_grad();
  set.backward(generator_loss(set, 2));
  EXPECT_TRUE(set.step(pair.of_generator.get()).is_updated);
  set.update_scale();
  EXPECT_EQ(set.scaler()->scale(), 8);
  EXPECT_EQ(set.scaler()->growth_steps(), 1);
}

// --- an optimizer that fails ---------------------------------------------------------------------------------------

class FailingOptimizer : public OptimizerAdapter {
 public:
  explicit FailingOptimizer(std::vector<at::Tensor> parameters) : parameters_(std::move(parameters)) {}
  std::string name() const override { return "foreign.Failing"; }
  const void* identity() const override { return this; }
  std::vector<ParameterGroup> groups() const override { return {{.parameters = parameters_}}; }
  at::Tensor step(const LossClosure&) override {
    if (fails) throw std::out_of_range("no state for a parameter");
    return {};
  }
  StepSupport support() const override { return {.reason = "its own step()"}; }
  std::vector<at::Tensor> state_of(const at::Tensor&) const override { return {}; }

  bool fails = true;

 private:
  std::vector<at::Tensor> parameters_;
};

TEST(OptimizeFailure, SaysWhoHadStepped) {
  const Model model = classifier(6, 1), before = classifier(6, 1);
  const OptimizerPtr first = make_optimizer(Kind::sgd, model.parameters("^conv"));
  const auto failing = std::make_shared<FailingOptimizer>(model.parameters("^bn"));
  const OptimizerPtr last = make_optimizer(Kind::adamw, model.parameters("^fc"));
  ModelSet set = optimize({{"m", model, Role::train}}, {first.get(), OptimizerRef(failing), last.get()});
  const Batch batch = batch_of(1);
  const auto backward = [&] { set.backward(at::cross_entropy_loss(set.forward("m", batch.x).logits(), batch.y)); };
  backward();
  EXPECT_EQ(message_of<Error>([&] { set.step(); }),
            "no state for a parameter\n"
            "[optimize] step 1 failed in optimizer 1 (foreign.Failing), whose parameters and state may be updated in "
            "part. Updated before it: optimizer 0 (torch::optim::SGD). Not updated: optimizer 2 (torch::optim::AdamW). "
            "Go on from a checkpoint, or from these weights with the next step.");
  std::vector<std::string> unmoved = unmoved_parameters(model, before);
  std::erase_if(unmoved, [](const std::string& name) { return name.starts_with("bn"); });
  EXPECT_EQ(unmoved, (std::vector<std::string>{"fc.weight", "fc.bias"}));
  EXPECT_THROW(set.step(), InvalidArgument);  // nothing is made twice of the same gradients
  failing->fails = false;
  backward();
  EXPECT_TRUE(set.step().is_updated);
}

TEST(OptimizeFailure, KeepsTheClassAndTheOriginal) {
  const Model model = linear_adapter(4, 3, 1);
  const OptimizerPtr optimizer = make_optimizer(Kind::sgd, model.parameters());
  ModelSet set = optimize({{"m", model, Role::train}}, {optimizer.get()});
  const auto failing = std::make_shared<FailingOptimizer>(model.parameters());
  ModelSet failing_set = optimize({{"m", model, Role::train}}, {OptimizerRef(failing)});
  failing_set.backward(failing_set.forward("m", at::ones({2, 4}))["y"].sum());
  try {
    failing_set.step();
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_THROW(std::rethrow_if_nested(error), std::out_of_range);
  }
}

}  // namespace
}  // namespace limbeck::train
