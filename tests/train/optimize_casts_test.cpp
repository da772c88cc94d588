// Sets in low precision cast their weights once between two changes, and train with autocast's bits.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include "limbeck/train/optimize.h"
#include "tests/train/set_networks.h"

namespace limbeck::train {
namespace {

using namespace testing;

/// conv1 and conv2 without bias, fc with its own.
constexpr int64_t kCast = 4;

TEST(OptimizeCasts, OncePerStepOfFourMicroBatchesAndOnceInAllForATeacher) {
  const Model student = classifier(6, 1), teacher = classifier(8, 2), eager = classifier(6, 1);
  const OptimizerPtr optimizer = make_optimizer(Kind::sgd, student.parameters()),
                     by_hand = make_optimizer(Kind::sgd, eager.parameters());
  ModelSet set = optimize({{"s", student, Role::train}, {"t", teacher, Role::eval}}, {optimizer.get()}, Precision::bf16,
                          {.accumulate = 4, .fusion = Fusion::none});
  const auto loss = [](const at::Tensor& s, const at::Tensor& t) {
    return at::mse_loss(s.to(at::kFloat), t.to(at::kFloat));
  };
  for (int micro = 0; micro < 12; ++micro) {
    const Batch batch = batch_of(static_cast<uint64_t>(micro));
    seed_everything(static_cast<uint64_t>(micro));
    const at::Tensor t = set.forward("t", batch.x).logits();
    set.backward(loss(set.forward("s", batch.x).logits(), t));
    set.step();

    seed_everything(static_cast<uint64_t>(micro));
    {
      const Autocast autocast(at::kBFloat16);
      (loss(classifier_by_hand(eager, batch.x, true).logits, t) / 4).backward();
    }
    if (micro % 4 == 3) step_eagerly(*by_hand);
  }
  EXPECT_EQ(set.num_weight_casts(), 3 * kCast + kCast);
  EXPECT_LE(largest_difference(student, eager), 1e-6);
}

/// What PyTorch's version counter does not see: an optimizer of one's own that writes by `.data`.
class DataSgd : public OptimizerAdapter {
 public:
  explicit DataSgd(std::vector<at::Tensor> parameters) : parameters_(std::move(parameters)) {}
  std::string name() const override { return "foreign.DataSgd"; }
  const void* identity() const override { return this; }
  std::vector<ParameterGroup> groups() const override { return {{.parameters = parameters_}}; }
  at::Tensor step(const LossClosure&) override {
    // One element, which no probe looks at.
    for (const at::Tensor& parameter : parameters_) parameter.variable_data().view({-1})[1].fill_(3);
    return {};
  }
  StepSupport support() const override { return {.reason = "its own step()"}; }
  std::vector<at::Tensor> state_of(const at::Tensor&) const override { return {}; }

 private:
  std::vector<at::Tensor> parameters_;
};

TEST(OptimizeCasts, FollowOptimizersThatWriteUncounted) {
  const Model model = linear_adapter(8, 8, 1);
  const auto optimizer = std::make_shared<DataSgd>(model.parameters("weight"));
  ModelSet set = optimize({{"m", model, Role::train}}, {OptimizerRef(optimizer)}, Precision::bf16);
  const at::Tensor x = at::ones({2, 8});
  const at::Tensor before = set.forward("m", x)["y"];
  set.backward(before.to(at::kFloat).sum());
  set.step();
  const at::Tensor after = set.forward("m", x)["y"];
  EXPECT_FALSE(at::equal(before, after));
  const Autocast autocast(at::kBFloat16);
  EXPECT_TRUE(at::equal(after, adapter_by_hand(model, x)));
}

TEST(OptimizeCasts, SingleSteppedOptimizersLeaveTheOthersCasts) {
  const Model body = linear_adapter(4, 4, 1), head = linear_adapter(4, 2, 2);
  const OptimizerPtr of_body = make_optimizer(Kind::sgd, body.parameters()),
                     of_head = make_optimizer(Kind::sgd, head.parameters());
  ModelSet set = optimize({{"body", body, Role::train}, {"head", head, Role::train}}, {of_body.get(), of_head.get()},
                          Precision::bf16);
  for (int step = 0; step < 3; ++step) {
    set.backward(set.forward("head", set.forward("body", at::ones({2, 4}))["y"])["y"].to(at::kFloat).sum());
    set.step(of_head.get());
    set.zero_grad();
  }
  EXPECT_EQ(set.num_weight_casts(), 2 + 3 * 2);
}

}  // namespace
}  // namespace limbeck::train
