// What optimize() refuses, and how it says so.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <limits>

#include "limbeck/core/error.h"
#include "limbeck/core/log.h"
#include "limbeck/train/optim/optimizer.h"
#include "limbeck/train/optimize.h"
#include "tests/train/set_networks.h"

namespace limbeck::train {
namespace {

using namespace testing;
using ::testing::Test;

std::string refusal(const std::vector<SetModel>& models, const std::vector<OptimizerPtr>& optimizers,
                    Precision precision = Precision::fp32, const SetOptions& options = {}) {
  std::vector<OptimizerRef> refs;
  for (const OptimizerPtr& optimizer : optimizers) refs.emplace_back(optimizer.get());
  return message_of<InvalidArgument>([&] { optimize(models, refs, precision, options); });
}

class OptimizeErrors : public Test {
 protected:
  Model student = classifier(6, 1), teacher = classifier(6, 2);
  OptimizerPtr sgd(const std::vector<at::Tensor>& parameters) { return make_optimizer(Kind::sgd, parameters); }
};

TEST_F(OptimizeErrors, ParameterOfNoModelIsNamedByPlaceAndLikeness) {
  const OptimizerPtr stale = sgd(joined(student.parameters(), classifier(6, 3).parameters("^fc.weight")));
  EXPECT_EQ(
      refusal({{"student", student, Role::train}, {"teacher", teacher, Role::eval}}, {stale}),
      "[optimize] parameter 8 of shape [4, 6] in group 0 of optimizer 0 (torch::optim::SGD) belongs to no model of "
      "the set. 'fc.weight' of 'teacher' has its shape and no owner: was the optimizer made before a clone, a new "
      "head or a move to another device? Add its model to the set.");
}

TEST_F(OptimizeErrors, OwnOptimizersParameterOfNoModelIsNamed) {
  const Model other = linear_adapter(3, 2, 1);
  std::vector<NamedTensor> parameters = student.named_parameters();
  parameters.push_back({"adapter.bias", other.parameters("bias").front()});
  Optimizer own(parameters, {});
  EXPECT_EQ(message_of<InvalidArgument>([&] {
              optimize({{"student", student, Role::train}}, {&own});
            }),
            "[optimize] parameter 'adapter.bias' of shape [2] in group 0 of optimizer 0 (limbeck::train::Optimizer) "
            "belongs to no model of the set. Add its model to the set.");
}

TEST_F(OptimizeErrors, ParameterOfTwoOptimizers) {
  EXPECT_EQ(refusal({{"student", student, Role::train}},
                    {sgd(student.parameters()), make_optimizer(Kind::adamw, student.parameters("^fc.bias"))}),
            "[optimize] parameter 'fc.bias' of 'student' is owned twice: by optimizer 0 (torch::optim::SGD) and by "
            "optimizer 1 (torch::optim::AdamW). Leave it in one.");
}

TEST_F(OptimizeErrors, OptimizerNamedTwice) {
  const OptimizerPtr optimizer = sgd(student.parameters());
  EXPECT_EQ(refusal({{"student", student, Role::train}}, {optimizer, optimizer}),
            "[optimize] optimizers 0 and 1 are the same torch::optim::SGD. Name it once.");
}

TEST_F(OptimizeErrors, OptimizerOfNothingInTheSet) {
  EXPECT_EQ(refusal({{"student", student, Role::train}}, {sgd(student.parameters()), sgd(teacher.parameters())}),
            "[optimize] optimizer 1 (torch::optim::SGD) owns nothing of this set: parameter 0 of shape [6, 1, 3, 3] in "
            "group 0 of optimizer 1 (torch::optim::SGD) and all its others belong to no model. Add their model to the "
            "set, or leave the optimizer out.");
}

TEST_F(OptimizeErrors, BufferInAnOptimizer) {
  at::Tensor mean = student.named_buffers().front().tensor;
  EXPECT_EQ(refusal({{"student", student, Role::train}}, {sgd(joined(student.parameters(), {mean}))}),
            "[optimize] parameter 8 of shape [] in group 0 of optimizer 0 (torch::optim::SGD) is the buffer "
            "'bn1.num_batches_tracked' of 'student': optimizers update parameters. Take it out of the optimizer.");
}

TEST_F(OptimizeErrors, TrainedModelThatNobodyUpdates) {
  EXPECT_EQ(
      refusal({{"student", student, Role::train}, {"teacher", teacher, Role::train}}, {sgd(student.parameters())}),
      "[optimize] 'teacher' has the role train, and no optimizer owns any of its parameters, 'conv1.weight' being "
      "the first: nothing of it would be trained. Give an optimizer its parameters, or the model the role "
      "frozen_train.");
}

TEST_F(OptimizeErrors, TrainModeWithoutRole) {
  teacher.train();
  EXPECT_EQ(
      refusal({{"student", student, Role::train}, {"teacher", teacher}}, {sgd(student.parameters())}),
      "[optimize] 'teacher' is in train mode, has no role, and no optimizer owns its parameter 'conv1.weight'. Say "
      "what it is there for: eval, frozen_train(keep), frozen_train(update), or train with an optimizer.");
}

TEST_F(OptimizeErrors, ParameterInContradictingRoles) {
  EXPECT_EQ(refusal({{"student", student, Role::train}, {"teacher", student, frozen_train(Buffers::keep)}},
                    {sgd(student.parameters())}),
            "[optimize] parameter 'conv1.weight' of 'student' (train) is 'conv1.weight' of 'teacher' "
            "(frozen_train(keep)): one tensor can't have both roles. Give the models one role, or make one of them a "
            "clone.");
}

TEST_F(OptimizeErrors, Names) {
  const OptimizerPtr optimizer = sgd(student.parameters());
  EXPECT_EQ(refusal({{"a", student, Role::train}, {"a", teacher, Role::eval}}, {optimizer}),
            "[optimize] two models are called 'a'. Give each its own name.");
  EXPECT_EQ(refusal({{"", student, Role::train}}, {optimizer}), "[optimize] model 0 has no name");
  EXPECT_EQ(refusal({}, {}), "[optimize] the set has no model");
  ModelSet set = optimize({{"student", student, Role::train}}, {optimizer.get()});
  EXPECT_EQ(message_of<InvalidArgument>([&] { set.forward("studnet", batch_of(1).x); }),
            "[optimize] no model 'studnet' in the set. Nearest: student.");
}

TEST_F(OptimizeErrors, Options) {
  const OptimizerPtr optimizer = sgd(student.parameters());
  const std::vector<SetModel> models{{"student", student, Role::train}};
  EXPECT_EQ(refusal(models, {optimizer}, Precision::fp32, {.clip_norm = -1}),
            "[optimize] clip_norm must be at least 0, got -1");
  EXPECT_EQ(refusal(models, {optimizer}, Precision::fp32, {.accumulate = 0}),
            "[optimize] accumulate must be at least 1, got 0");
  EXPECT_EQ(message_of<InvalidArgument>([&] { optimize(models, {static_cast<Optimizer*>(nullptr)}); }),
            "[optimize] an optimizer is a null pointer");
  EXPECT_EQ(refusal(models, {make_optimizer(Kind::lbfgs, student.parameters())}, Precision::fp32, {.accumulate = 2}),
            "[optimize] torch::optim::LBFGS evaluates the model within its step: accumulate must be 1, got 2");
  const OptimizerPtr lbfgs = make_optimizer(Kind::lbfgs, student.parameters());
  EXPECT_EQ(message_of<Unsupported>([&] { optimize(models, {lbfgs.get()}, Precision::fp16); }),
            "[optimize] torch::optim::LBFGS evaluates the model within its step, where a loss scale can't change. Use "
            "bf16 or fp32.");
}

TEST_F(OptimizeErrors, LossesThatTrainNothing) {
  const OptimizerPtr optimizer = sgd(student.parameters());
  ModelSet set = optimize({{"student", student, Role::train}, {"teacher", teacher, Role::eval}}, {optimizer.get()});
  const at::Tensor x = batch_of(1).x;
  const auto backward = [&](const at::Tensor& loss) {
    return message_of<InvalidArgument>([&] { set.backward(loss); });
  };
  EXPECT_EQ(
      backward(set.forward("teacher", x).logits().sum()),
      "[optimize] the loss has no gradient: no model with the role train had a part in it, or gradients were off");
  EXPECT_EQ(backward(set.forward("student", x).logits()), "[optimize] backward takes a scalar loss, got 32 numbers");
  EXPECT_EQ(backward({}), "[optimize] backward takes a scalar loss, got an undefined tensor");
  const at::Tensor foreign = at::ones({}).requires_grad_();
  set.backward(foreign * 2);
  EXPECT_EQ(message_of<InvalidArgument>([&] { set.step(); }),
            "[optimize] no parameter that an optimizer owns has a gradient: the loss does not depend on them");
}

TEST_F(OptimizeErrors, StepWithoutBackward) {
  const OptimizerPtr optimizer = sgd(student.parameters());
  ModelSet set = optimize({{"student", student, Role::train}}, {optimizer.get()});
  const std::string text =
      "[optimize] step() without a backward() of the set before it: call set.backward(loss), not loss.backward()";
  EXPECT_EQ(message_of<InvalidArgument>([&] { set.step(); }), text);
  set.backward(set.forward("student", batch_of(1).x).logits().sum());
  set.step();
  EXPECT_EQ(message_of<InvalidArgument>([&] { set.step(); }), text);
}

/// A step that throws counts for nothing: the gradients that it had are forgotten, not added to.
TEST_F(OptimizeErrors, ARefusedStepIsOver) {
  const OptimizerPtr optimizer = sgd(student.parameters());
  ModelSet set = optimize({{"student", student, Role::train}}, {optimizer.get()});
  const at::Tensor parameter = student.parameters("^fc.bias").front();  // no dropout comes after it
  const auto backward = [&] { set.backward(set.forward("student", batch_of(1).x).logits().sum()); };
  backward();
  const at::Tensor expected = parameter.grad().clone();
  at::Tensor last = student.parameters("^fc.weight").front();
  last.mutable_grad() = last.grad().to_sparse_csr();
  EXPECT_THROW(set.step(), Unsupported);
  backward();
  EXPECT_TRUE(at::allclose(parameter.grad(), expected, 1e-4, 1e-6));
  EXPECT_TRUE(set.step().is_updated);
}

TEST_F(OptimizeErrors, NotFiniteLeavesWeightsAndSaysWhere) {
  const OptimizerPtr optimizer = sgd(student.parameters());
  ModelSet set = optimize({{"student", student, Role::train}}, {optimizer.get()});
  const std::vector<at::Tensor> parameters = student.parameters();
  std::vector<at::Tensor> before;
  for (const at::Tensor& parameter : parameters) before.push_back(parameter.detach().clone());
  const at::Tensor logits = set.forward("student", batch_of(1).x).logits();
  set.backward(logits.sum() * std::numeric_limits<double>::quiet_NaN());
  EXPECT_EQ(message_of<InvalidArgument>([&] { set.step(); }),
            "[optimize] the loss became infinite or NaN in step 1, first in the gradient of 'conv1.weight' of "
            "'student'. Nothing was updated. Lower the learning rate or set clip_norm.");
  for (std::size_t i = 0; i < before.size(); ++i) EXPECT_TRUE(at::equal(before[i], parameters[i]));
  set.backward(set.forward("student", batch_of(1).x).logits().square().sum());
  EXPECT_TRUE(set.step().is_updated);
}

TEST_F(OptimizeErrors, ConstantInfiniteLossIsNotTaken) {
  const OptimizerPtr optimizer = sgd(student.parameters());
  ModelSet set = optimize({{"student", student, Role::train}}, {optimizer.get()});
  set.backward(set.forward("student", batch_of(1).x).logits().square().sum() + std::numeric_limits<double>::infinity());
  EXPECT_EQ(message_of<InvalidArgument>([&] { set.step(); }),
            "[optimize] the loss became infinite or NaN in step 1. Nothing was updated. Lower the learning rate or set "
            "clip_norm.");
}

TEST_F(OptimizeErrors, StepsWithAndWithoutClosure) {
  const OptimizerPtr lbfgs = make_optimizer(Kind::lbfgs, student.parameters());
  ModelSet set = optimize({{"student", student, Role::train}}, {lbfgs.get()});
  EXPECT_EQ(
      message_of<InvalidArgument>([&] { set.step(); }),
      "[optimize] torch::optim::LBFGS evaluates the model within its step: call step(closure), whose closure calls "
      "forward and backward and returns the loss");
  EXPECT_EQ(message_of<InvalidArgument>([&] { set.step(LossClosure()); }), "[optimize] step got an empty closure");
  EXPECT_EQ(message_of<InvalidArgument>([&] { set.step([&] { return at::ones({}); }); }),
            "[optimize] the closure of step() must call backward() of the set");
}

TEST_F(OptimizeErrors, GroupAddedLaterIsCheckedAgain) {
  const OptimizerPtr body = sgd(student.parameters("^(?!fc)")), head = sgd(student.parameters("^fc"));
  ModelSet set = optimize({{"student", student, Role::train}}, {body.get(), head.get()});
  set.backward(set.forward("student", batch_of(1).x).logits().square().sum());
  add_group(*body, student.parameters("^fc.bias"));
  EXPECT_EQ(message_of<InvalidArgument>([&] { set.step(); }),
            "[optimize] parameter 'fc.bias' of 'student' is owned twice: by optimizer 0 (torch::optim::SGD) and by "
            "optimizer 1 (torch::optim::SGD). Leave it in one.");
}

TEST_F(OptimizeErrors, NewHeadAfterwardsIsNoticed) {
  const OptimizerPtr optimizer = sgd(student.parameters());
  ModelSet set = optimize({{"student", student, Role::train}}, {optimizer.get()});
  student.replace_head("fc", {.classes = 3});
  EXPECT_EQ(
      message_of<InvalidArgument>([&] { set.forward("student", batch_of(1).x); }),
      "[optimize] parameter 6 of shape [4, 6] in group 0 of optimizer 0 (torch::optim::SGD) belongs to no model of "
      "the set. Add its model to the set.");
}

/// Warnings between construction and destruction.
class Warnings {
 public:
  Warnings() {
    core::set_log_sink([this](core::LogLevel, std::string_view text) { texts.emplace_back(text); });
  }
  ~Warnings() { core::set_log_sink({}); }
  std::vector<std::string> texts;
};

TEST_F(OptimizeErrors, DummyOptimizerIsTakenWithOneWarning) {
  const OptimizerPtr real = sgd(student.parameters()), dummy = sgd(teacher.parameters());
  const Warnings warnings;
  ModelSet set = optimize({{"teacher", teacher, frozen_train(Buffers::keep)}, {"student", student, Role::train}},
                          {dummy.get(), real.get()});
  const std::vector<at::Tensor> before = snapshot(teacher);
  for (int step = 0; step < 3; ++step) {
    const Batch batch = batch_of(static_cast<uint64_t>(step));
    set.backward(at::mse_loss(set.forward("student", batch.x).logits(), set.forward("teacher", batch.x).logits()));
    set.step();
  }
  EXPECT_EQ(warnings.texts,
            std::vector<std::string>{"[optimize] optimizer 0 (torch::optim::SGD) owns no parameter of a "
                                     "model with the role train: it updates nothing, and is not "
                                     "needed"});
  EXPECT_TRUE(is_bit_equal(teacher, before));
  EXPECT_EQ(set.report().warnings, warnings.texts);
}

TEST(ParseRole, ReadsWhatToStringWrites) {
  for (const Role& role : {Role::eval, Role::train, frozen_train(Buffers::keep), frozen_train(Buffers::update)}) {
    EXPECT_EQ(parse_role(role.to_string()), role);
  }
  EXPECT_EQ(message_of<InvalidArgument>([] { parse_role("frozen"); }),
            "[optimize] role 'frozen' does not exist. Use eval, train, frozen_train(keep) or frozen_train(update).");
}

}  // namespace
}  // namespace limbeck::train
