// The promise of resuming holds with all that a run may keep beside the weights.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"
#include "tests/train/tiny_network.h"

namespace limbeck::train {
namespace {

using testing::network;
using testing::run;
using testing::same_tensors;

struct Feature {
  const char* name;
  void (*choose)(TrainOptions&);
};

class FeatureResume : public ::testing::TestWithParam<std::tuple<Feature, int>> {};
INSTANTIATE_TEST_SUITE_P(
    Everywhere, FeatureResume,
    ::testing::Combine(
        ::testing::Values(
            Feature{"accumulate", [](TrainOptions& o) { o.accumulate = 3; }},
            Feature{"ema_instead", [](TrainOptions& o) { o.ema = {.decay = 0.9}; }},
            Feature{"ema_beside",
                    [](TrainOptions& o) { o.ema = {.decay = 0.9, .every = 2, .use = AverageUse::beside}; }},
            Feature{"plateau",
                    [](TrainOptions& o) {
                      o.schedule = {.kind = ScheduleKind::plateau};
                      o.schedule.plateau = {.factor = 0.5, .patience = 0, .threshold = 0.9};
                      o.monitor = Metric::val_loss;
                    }},
            Feature{"early_stop",
                    [](TrainOptions& o) {
                      o.early_stop = {.patience = 1, .min_delta = 0.9};
                      o.monitor = Metric::val_accuracy;
                    }},
            Feature{"keep_best",
                    [](TrainOptions& o) {
                      o.keep = Keep::best;
                      o.monitor = Metric::val_loss;
                      o.optimizer.lr = 0.5;  // so large that the last epoch need not be the best
                    }},
            Feature{"best_average",
                    [](TrainOptions& o) {
                      o.keep = Keep::best;
                      o.ema = {.decay = 0.8};
                    }},
            Feature{"fp16",
                    [](TrainOptions& o) {
                      o.precision = Precision::fp16;
                      o.loss_scale = {.initial_scale = 1e30, .backoff_factor = 1e-6, .growth_interval = 3};
                    }}),
        ::testing::Values(1, 3, 4, 5, 9)),
    [](const auto& test) {
      return std::string(std::get<0>(test.param).name) + "_after_" + std::to_string(std::get<1>(test.param));
    });

void expect_equal_epochs(const Progress& a, const Progress& b) {
  ASSERT_EQ(a.epochs.size(), b.epochs.size());
  for (std::size_t i = 0; i < a.epochs.size(); ++i) {
    EXPECT_EQ(a.epochs[i].loss, b.epochs[i].loss);
    EXPECT_EQ(a.epochs[i].train_accuracy, b.epochs[i].train_accuracy);
    EXPECT_EQ(a.epochs[i].val_accuracy, b.epochs[i].val_accuracy);
    EXPECT_EQ(a.epochs[i].val_loss, b.epochs[i].val_loss);
    ASSERT_EQ(a.epochs[i].averaged.has_value(), b.epochs[i].averaged.has_value());
    if (a.epochs[i].averaged) {
      EXPECT_EQ(a.epochs[i].averaged->loss, b.epochs[i].averaged->loss);
    }
  }
}

void expect_same(const std::optional<Model>& a, const std::optional<Model>& b) {
  ASSERT_EQ(a.has_value(), b.has_value());
  if (a) {
    EXPECT_TRUE(same_tensors(*a, *b));
  }
}

/// Ends after `stop_at` steps, as a kill right after a checkpoint does; new objects go on.
TEST_P(FeatureResume, IsBitExactFromAnyStep) {
  const auto& [feature, stop_at] = GetParam();
  TrainOptions options = testing::options();
  feature.choose(options);
  const Model unbroken = network(1), first = network(1), second = network(2);
  const TrainSummary whole = run(unbroken, options, {.validate = testing::validate});
  const core::TemporaryDirectory folder;
  RunControl control{.checkpoint_directory = folder.path(), .run_hash = "h", .validate = testing::validate};
  control.hooks.on_step = [stop_at = stop_at](const StepReport& report) {
    return report.step == stop_at ? AfterHook::stop : AfterHook::go_on;
  };
  ASSERT_FALSE(run(first, options, control).completed);
  control.hooks = {};
  const TrainSummary resumed = run(second, options, control);
  ASSERT_TRUE(resumed.completed);
  EXPECT_EQ(resumed.resumed_at_step, stop_at);
  EXPECT_EQ(resumed.is_early_stop, whole.is_early_stop);
  EXPECT_EQ(resumed.best, whole.best);
  expect_equal_epochs(whole.progress, resumed.progress);
  EXPECT_TRUE(same_tensors(unbroken, second));
  expect_same(whole.averaged_model, resumed.averaged_model);
  expect_same(whole.best_model, resumed.best_model);
}

TEST(EarlyStop, EndsBeforeAllEpochsAndStaysEnded) {
  TrainOptions options = testing::options();
  options.epochs = 20;
  options.early_stop = {.patience = 1, .min_delta = 0.99};
  const core::TemporaryDirectory folder;
  const RunControl control{.checkpoint_directory = folder.path(), .run_hash = "h", .validate = testing::validate};
  const TrainSummary summary = run(network(1), options, control);
  EXPECT_TRUE(summary.completed);
  EXPECT_TRUE(summary.is_early_stop);
  EXPECT_EQ(summary.progress.epochs.size(), 2U) << "the first epoch improves on nothing, the second by too little";
  const TrainSummary again = run(network(2), options, control);
  EXPECT_TRUE(again.completed);
  EXPECT_EQ(again.progress.step, summary.progress.step) << "not a step more";
}

TEST(KeepBest, TheResultHasTheBestEpochsWeights) {
  TrainOptions options = testing::options();
  options.keep = Keep::best;
  const core::TemporaryDirectory folder;
  int calls = 0;
  std::vector<Model> after_epoch;
  RunControl control{.checkpoint_directory = folder.path(), .run_hash = "h"};
  control.validate = [&](const Model& model) -> std::optional<ValidationResult> {
    after_epoch.push_back(model.clone());
    return ValidationResult{.accuracy = ++calls == 2 ? 0.9 : 0.1};
  };
  const Model model = network(1);
  const TrainSummary summary = run(model, options, control);
  ASSERT_EQ(summary.best, 1U);
  const Model result = result_of(model, summary, options);
  EXPECT_TRUE(same_tensors(result, after_epoch[1]));
  EXPECT_TRUE(same_tensors(model, after_epoch[2])) << "the model itself has the last ones";
  EXPECT_TRUE(std::filesystem::exists(folder.path() / "best" / "epoch-0002.lmb"));
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "best" / "epoch-0001.lmb")) << "it was the best before";
}

TEST(KeepBest, NeedsSomethingToGoBy) {
  TrainOptions options = testing::options();
  options.keep = Keep::best;
  try {
    run(network(1), options);
    FAIL();
  } catch (const InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find("keep: best goes by val_accuracy, and no samples are held out"),
              std::string::npos)
        << error.what();
  }
  options.monitor = Metric::loss;
  EXPECT_TRUE(run(network(1), options).best);
}

TEST(Hooks, SeeEveryStepAndEpochAndChangeNoBits) {
  const Model plain = network(1), hooked = network(1);
  run(plain, testing::options());
  std::vector<int64_t> steps, epochs;
  RunControl control;
  Model handle = hooked;
  control.hooks = {.on_step =
                       [&](const StepReport& report) {
                         steps.push_back(report.step);
                         at::rand({3});
                         handle.eval();
                         return AfterHook::go_on;
                       },
                   .on_epoch =
                       [&](const EpochSummary& summary) {
                         epochs.push_back(summary.epoch);
                         at::rand({5});
                         return AfterHook::go_on;
                       }};
  run(hooked, testing::options(), control);
  EXPECT_EQ(steps.size(), 30U);
  EXPECT_EQ(steps.back(), 30);
  EXPECT_EQ(epochs, (std::vector<int64_t>{0, 1, 2}));
  EXPECT_TRUE(same_tensors(plain, hooked)) << "neither random numbers nor modes of a hook reach the run";
}

TEST(Hooks, OfAnEpochMayStopTheRun) {
  const Model plain = network(1), stopped = network(1), resumed = network(2);
  run(plain, testing::options());
  const core::TemporaryDirectory folder;
  RunControl control{.checkpoint_directory = folder.path(), .run_hash = "h"};
  control.hooks.on_epoch = [](const EpochSummary& summary) {
    return summary.epoch == 1 ? AfterHook::stop : AfterHook::go_on;
  };
  const TrainSummary summary = run(stopped, testing::options(), control);
  EXPECT_FALSE(summary.completed);
  EXPECT_EQ(summary.progress.epochs.size(), 2U);
  control.hooks = {};
  EXPECT_TRUE(run(resumed, testing::options(), control).completed);
  EXPECT_TRUE(same_tensors(plain, resumed));
}

TEST(Fp16, SkipsStepsThatOverflowAndLearnsAllTheSame) {
  TrainOptions options = testing::options(OptimizerKind::sgd, Precision::fp16);
  options.loss_scale.initial_scale = 1e30;
  options.loss_scale.backoff_factor = 1e-6;
  int num_skipped = 0;
  RunControl control;
  control.hooks.on_step = [&](const StepReport& report) {
    num_skipped += report.is_skipped ? 1 : 0;
    return AfterHook::go_on;
  };
  const Model model = network(1);
  const TrainSummary summary = run(model, options, control);
  EXPECT_GE(num_skipped, 2);
  EXPECT_LT(num_skipped, 10);
  EXPECT_LT(summary.progress.epochs.back().loss, summary.progress.epochs.front().loss);
  for (const NamedTensor& parameter : model.named_parameters())
    EXPECT_TRUE(at::isfinite(parameter.tensor).all().item<bool>()) << parameter.name;
}

TEST(Checkpoint, WithoutAveragesIsRefusedByARunThatKeepsThem) {
  const core::TemporaryDirectory folder;
  TrainOptions options = testing::options();
  run(network(1), options, {.checkpoint_directory = folder.path(), .run_hash = "h"});
  options.ema = {.decay = 0.9};
  try {
    run(network(1), options, {.checkpoint_directory = folder.path(), .run_hash = "h"});
    FAIL();
  } catch (const IoError& error) {
    EXPECT_NE(std::string(error.what()).find("has no averaged weights"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace limbeck::train
