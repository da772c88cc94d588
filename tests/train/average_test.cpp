#include "limbeck/train/loop/average.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "limbeck/core/error.h"
#include "tests/train/tiny_network.h"

namespace limbeck::train {
namespace {

using testing::network;
using testing::same_tensors;

/// The average of the weights after every step, recomputed from copies of them.
TEST(Average, IsTheRecurrenceOverAllSteps) {
  const Model model = network(1);
  TrainOptions options = testing::options();
  options.epochs = 1;
  options.ema = {.decay = 0.9};
  std::map<std::string, at::Tensor> expected;
  RunControl control;
  control.hooks.on_step = [&](const StepReport&) {
    for (const NamedTensor& parameter : model.named_parameters()) {
      at::Tensor& average = expected[parameter.name];
      const at::Tensor now = parameter.tensor.detach().to(at::kDouble, false, true);
      average = average.defined() ? 0.9 * average + 0.1 * now : now;
    }
    return AfterHook::go_on;
  };
  const TrainSummary summary = testing::run(model, options, control);
  ASSERT_TRUE(summary.averaged_model);
  for (const NamedTensor& parameter : summary.averaged_model->named_parameters()) {
    EXPECT_LE((parameter.tensor.to(at::kDouble) - expected[parameter.name]).abs().max().item<double>(), 1e-6)
        << parameter.name;
    EXPECT_FALSE(at::equal(parameter.tensor, model.graph().parameter(parameter.name).tensor)) << parameter.name;
  }
  for (const NamedTensor& buffer : summary.averaged_model->named_buffers())
    EXPECT_TRUE(at::equal(buffer.tensor, model.graph().parameter(buffer.name).tensor)) << buffer.name;
  EXPECT_TRUE(same_tensors(result_of(model, summary, options), *summary.averaged_model));
  options.ema.use = AverageUse::beside;
  EXPECT_TRUE(same_tensors(result_of(model, summary, options), model));
}

TEST(Average, LeavesTheTrainedWeightsAlone) {
  const Model plain = network(1), averaged = network(1);
  TrainOptions options = testing::options();
  testing::run(plain, options);
  options.ema = {.decay = 0.5, .every = 3};
  testing::run(averaged, options);
  EXPECT_TRUE(same_tensors(plain, averaged));
}

TEST(Average, IsWhatIsValidated) {
  for (const AverageUse use : {AverageUse::instead, AverageUse::beside}) {
    const Model model = network(1);
    TrainOptions options = testing::options();
    options.ema = {.decay = 0.99, .use = use};
    const TrainSummary summary = testing::run(model, options, {.validate = testing::validate});
    const EpochSummary& last = summary.progress.epochs.back();
    const double of_average = testing::validate(*summary.averaged_model).loss, of_model = testing::validate(model).loss;
    ASSERT_NE(of_average, of_model);
    EXPECT_EQ(last.val_loss, use == AverageUse::instead ? of_average : of_model);
    ASSERT_EQ(last.averaged.has_value(), use == AverageUse::beside);
    if (last.averaged) {
      EXPECT_EQ(last.averaged->loss, of_average);
    }
  }
}

TEST(Average, RefusesOptionsOutOfRange) {
  EXPECT_THROW(AverageOptions{.decay = 1}.validate(), InvalidArgument);
  EXPECT_THROW(AverageOptions{.every = 0}.validate(), InvalidArgument);
}

}  // namespace
}  // namespace limbeck::train
