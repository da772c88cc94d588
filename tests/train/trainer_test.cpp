#include "limbeck/train/trainer.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <limits>

#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"
#include "limbeck/data/memory_dataset.h"
#include "limbeck/graph/lmb.h"
#include "limbeck/train/losses.h"
#include "tests/train/tiny_network.h"

namespace limbeck::train {
namespace {

using testing::loader;
using testing::network;
using testing::options;
using testing::run;
using testing::same_tensors;

TEST(Trainer, LearnsAndReportsEveryEpoch) {
  const Model model = network(1);
  const TrainSummary summary = run(model, options(OptimizerKind::sgd));
  ASSERT_TRUE(summary.completed);
  ASSERT_EQ(summary.progress.epochs.size(), 3U);
  EXPECT_LT(summary.progress.epochs.back().loss, summary.progress.epochs.front().loss);
  EXPECT_EQ(summary.progress.step, 30);
}

struct ResumeCase {
  OptimizerKind kind = OptimizerKind::sgd;
  bool nesterov = false;
  Precision precision = Precision::fp32;
  at::MemoryFormat format = at::MemoryFormat::Contiguous;
};

class Resume : public ::testing::TestWithParam<std::tuple<ResumeCase, int>> {};
INSTANTIATE_TEST_SUITE_P(
    Everywhere, Resume,
    ::testing::Combine(
        ::testing::Values(ResumeCase{}, ResumeCase{.nesterov = true, .format = at::MemoryFormat::ChannelsLast},
                          ResumeCase{.kind = OptimizerKind::adamw},
                          ResumeCase{.kind = OptimizerKind::adamw, .format = at::MemoryFormat::ChannelsLast},
                          ResumeCase{.nesterov = true, .precision = Precision::bf16},
                          ResumeCase{.kind = OptimizerKind::adamw,
                                     .precision = Precision::bf16,
                                     .format = at::MemoryFormat::ChannelsLast}),
        ::testing::Values(1, 9, 10, 11, 29)));

/// Stops in one process's place at any step, goes on with new objects, and ends at the same bits.
TEST_P(Resume, IsBitExactFromAnyStep) {
  const auto& [setting, stop_at] = GetParam();
  Model unbroken = network(1), first = network(1), second = network(2);
  for (Model* model : {&unbroken, &first, &second}) model->to(setting.format);
  TrainOptions training = options(setting.kind, setting.precision);
  training.optimizer.nesterov = setting.nesterov;
  run(unbroken, training);
  const core::TemporaryDirectory folder;
  core::StopFlag stop;
  RunControl control{.checkpoint_directory = folder.path(), .run_hash = "h", .stop = &stop};
  int steps = 0;
  control.on_progress = [&, stop_at = stop_at](const ProgressEvent& event) {
    if (!event.is_epoch_end && ++steps == stop_at) stop.request();
  };
  const TrainSummary interrupted = run(first, training, control);
  ASSERT_FALSE(interrupted.completed);
  ASSERT_EQ(interrupted.progress.step, stop_at);
  const TrainSummary resumed = run(second, training, {.checkpoint_directory = folder.path(), .run_hash = "h"});
  EXPECT_TRUE(resumed.completed);
  EXPECT_EQ(resumed.resumed_at_step, stop_at);
  EXPECT_TRUE(same_tensors(unbroken, second));
}

/// The third epoch's samples and rates, at once.
TEST(Trainer, CountsEpochsThatWereDoneElsewhere) {
  const TrainOptions training = options(OptimizerKind::sgd);
  const auto rates = [&](const RunControl& control) {
    RunControl told = control;
    std::vector<std::pair<int64_t, double>> result;
    told.on_progress = [&](const ProgressEvent& event) {
      if (!event.is_epoch_end) result.emplace_back(event.epoch, event.lr);
    };
    run(network(1), training, told);
    return result;
  };
  const auto whole = rates({});
  EXPECT_EQ(rates({.epochs_done = 2}), (std::vector(whole.begin() + 20, whole.end())));
  EXPECT_THROW(run(network(1), training, {.epochs_done = 3}), InvalidArgument);
}

TEST(Trainer, TellsAveragedWeightsAccuracyBesideTheTrainedOnes) {
  TrainOptions training = options(OptimizerKind::sgd);
  training.ema = {.decay = 0.9, .use = AverageUse::beside};
  RunControl control{.validate = [](const Model& model) { return std::optional(testing::validate(model)); }};
  std::vector<double> told;
  control.on_progress = [&](const ProgressEvent& event) {
    EXPECT_EQ(event.averaged_val_accuracy.has_value(), event.is_epoch_end);
    if (event.averaged_val_accuracy) told.push_back(*event.averaged_val_accuracy);
  };
  const TrainSummary summary = run(network(1), training, control);
  ASSERT_EQ(told.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(told[i], summary.progress.epochs[i].averaged->accuracy);
}

TEST(Trainer, ValidatesAfterEveryEpoch) {
  int calls = 0;
  RunControl control{
      .validate = [&](const Model&) { return std::optional(ValidationResult{.accuracy = 0.1 * ++calls}); }};
  std::vector<std::optional<double>> told;
  control.on_progress = [&](const ProgressEvent& event) {
    if (event.is_epoch_end) told.push_back(event.val_accuracy);
  };
  const TrainSummary summary = run(network(1), options(OptimizerKind::sgd), control);
  ASSERT_EQ(summary.progress.epochs.size(), 3U);
  EXPECT_EQ(told, (std::vector<std::optional<double>>{0.1 * 1, 0.1 * 2, 0.1 * 3}));
  for (std::size_t i = 0; i < told.size(); ++i) EXPECT_EQ(summary.progress.epochs[i].val_accuracy, told[i]);
}

TEST(Trainer, NamesInputsThatAreNotFiniteRatherThanTheLearningRate) {
  const Model model = network(1);
  Model run = model;
  const auto broken = [&](const data::Batch& batch, const Progress&) -> StepResult {
    batch.x[3][0][0][0] = std::numeric_limits<float>::quiet_NaN();
    const at::Tensor logits = run.forward(batch.x).logits();
    return {.loss = cross_entropy(logits, batch.y, 0), .logits = logits};
  };
  data::Loader batches = loader(), same = loader();
  const int64_t sample = same.next()->index[3].item<int64_t>();
  try {
    train(model, {}, broken, batches, options(OptimizerKind::sgd), {});
    FAIL() << "accepted";
  } catch (const InvalidArgument& error) {
    EXPECT_EQ(error.what(), "[train] sample " + std::to_string(sample) +
                                " of the training data has pixels that are not finite: mend it or take it out.");
  }
}

/// Parameters behind what the loss looks at, as those of an auxiliary head are.
TEST(Trainer, NamesParametersWithoutGradientOnce) {
  const Model model = network(1);
  const std::string last = model.named_parameters().back().name;
  const auto without_it = [&](const data::Batch& batch, const Progress&) -> StepResult {
    Model run = model;
    const at::Tensor logits = run.forward(batch.x).logits();
    at::Tensor loss = at::zeros({});
    for (const NamedTensor& parameter : model.named_parameters()) {
      if (parameter.name != last) loss = loss + parameter.tensor.square().sum();
    }
    return {.loss = loss, .logits = logits};
  };
  data::Loader batches = loader();
  ::testing::internal::CaptureStderr();
  train(model, {}, without_it, batches, options(OptimizerKind::sgd), {});
  const std::string told = ::testing::internal::GetCapturedStderr();
  const std::string line = " trainable parameters get no gradient from the loss and stay as they are: " + last + ".";
  EXPECT_NE(told.find("1 of "), std::string::npos) << told;
  ASSERT_NE(told.find(line), std::string::npos) << told;
  EXPECT_EQ(told.find(line, told.find(line) + 1), std::string::npos) << told;
}

/// A validation that is stopped is done again after resuming, and what it said before is in the checkpoint.
TEST(Trainer, ResumesAtTheValidationThatWasStopped) {
  const Model unbroken = network(1), resumed = network(2);
  run(unbroken, options(OptimizerKind::sgd));
  const core::TemporaryDirectory folder;
  core::StopFlag stop;
  int calls = 0;
  RunControl control{.checkpoint_directory = folder.path(), .run_hash = "h", .stop = &stop};
  control.validate = [&](const Model&) -> std::optional<ValidationResult> {
    if (++calls == 1) return ValidationResult{.accuracy = 0.25, .loss = 2};
    stop.request();
    return std::nullopt;
  };
  const TrainSummary interrupted = run(network(1), options(OptimizerKind::sgd), control);
  EXPECT_FALSE(interrupted.completed);
  EXPECT_EQ(interrupted.progress.epochs.size(), 1U);
  std::vector<int64_t> resumed_at;
  const TrainSummary summary =
      run(resumed, options(OptimizerKind::sgd),
          {.checkpoint_directory = folder.path(),
           .run_hash = "h",
           .validate = [](const Model&) { return std::optional(ValidationResult{.accuracy = 0.5, .loss = 1}); },
           .on_resume = [&](const Progress& progress) { resumed_at.push_back(progress.step); }});
  EXPECT_EQ(resumed_at, std::vector<int64_t>{20});
  std::vector<std::optional<double>> accuracies;
  for (const EpochSummary& epoch : summary.progress.epochs) accuracies.push_back(epoch.val_accuracy);
  EXPECT_EQ(accuracies, (std::vector<std::optional<double>>{0.25, 0.5, 0.5}));
  EXPECT_EQ(summary.progress.epochs.front().val_loss, 2);
  EXPECT_TRUE(same_tensors(unbroken, resumed));
}

TEST(Trainer, RefusesTheCheckpointOfAnotherRun) {
  const core::TemporaryDirectory folder;
  run(network(1), options(OptimizerKind::sgd), {.checkpoint_directory = folder.path(), .run_hash = "a"});
  EXPECT_THROW(run(network(1), options(OptimizerKind::sgd), {.checkpoint_directory = folder.path(), .run_hash = "b"}),
               InvalidArgument);
}

TEST(Trainer, LeavesTheStudentAloneInItsFile) {
  const core::TemporaryDirectory folder;
  const Model model = network(1);
  run(model, options(OptimizerKind::sgd), {.checkpoint_directory = folder.path(), .run_hash = "a"});
  const std::string latest = core::read_file(folder.path() / "latest");
  EXPECT_TRUE(same_tensors(model, Model(graph::load_lmb(folder.path() / latest / "model.lmb"))));
}

TEST(Trainer, NamesTheStepWhereTheLossIsNoLongerFinite) {
  const Model model = network(1);
  data::Loader batches = loader();
  int calls = 0;
  const Objective objective = [&](const data::Batch& batch, const Progress&) -> StepResult {
    Model handle = model;
    const at::Tensor logits = handle.forward(batch.x).logits();
    const at::Tensor loss = cross_entropy(logits, batch.y);
    return {.loss = ++calls == 4 ? loss * std::numeric_limits<double>::quiet_NaN() : loss, .logits = logits};
  };
  try {
    train(model, {}, objective, batches, options(OptimizerKind::sgd), {});
    FAIL() << "a NaN went unnoticed";
  } catch (const InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find("epoch 1, step 4"), std::string::npos) << error.what();
  }
}

/// A finite loss whose gradient is NaN (of a square root at 0) in step 4.
TEST(Trainer, GradientsThatAreNotFiniteReachNeitherWeightsNorCheckpoint) {
  for (const double clip_norm : {0.0, 1.0}) {
    const Model model = network(1), resumed = network(2), unbroken = network(1);
    data::Loader batches = loader();
    TrainOptions training = options(OptimizerKind::sgd);
    training.clip_norm = clip_norm;
    int calls = 0;
    const Objective objective = [&](const data::Batch& batch, const Progress&) -> StepResult {
      Model handle = model;
      const at::Tensor logits = handle.forward(batch.x).logits();
      const at::Tensor loss = cross_entropy(logits, batch.y);
      const at::Tensor zero = (logits - logits.detach()).pow(2).sum().sqrt();
      return {.loss = ++calls == 4 ? loss + zero : loss, .logits = logits};
    };
    const core::TemporaryDirectory folder;
    const RunControl control{.checkpoint_directory = folder.path(), .checkpoint_steps = 1, .run_hash = "h"};
    try {
      train(model, {}, objective, batches, training, control);
      FAIL() << "a NaN went unnoticed";
    } catch (const InvalidArgument& error) {
      const std::string message = error.what();
      for (const char* part :
           {"[train] the gradients became infinite or NaN in epoch 1, step 4, first in the gradient of '",
            "'. Nothing was updated. The last checkpoint stands. Lower"})
        EXPECT_NE(message.find(part), std::string::npos) << message;
    }
    for (const NamedTensor& parameter : model.named_parameters())
      EXPECT_TRUE(at::isfinite(parameter.tensor).all().item<bool>()) << parameter.name;
    EXPECT_EQ(run(resumed, training, control).resumed_at_step, 3);
    run(unbroken, training);
    EXPECT_TRUE(same_tensors(unbroken, resumed));
  }
}

TEST(Trainer, ReportsTheRateOfTheLastStepAtTheEndOfAnEpochToo) {
  double last = -1;
  int num_ends = 0;
  RunControl control;
  control.on_progress = [&](const ProgressEvent& event) {
    if (event.is_epoch_end) {
      ++num_ends;
      EXPECT_EQ(event.lr, last);
    }
    last = event.lr;
  };
  const TrainOptions training = options(OptimizerKind::sgd);
  run(network(1), training, control);
  EXPECT_EQ(num_ends, 3);
  EXPECT_LT(last, training.optimizer.lr / 100) << "one_cycle ends far below its peak";
}

TEST(Trainer, NamesTheSampleWhoseLabelIsNoClassOfTheModel) {
  const at::Tensor images = at::zeros({40, 1, 8, 8}, at::kByte), labels = at::arange(40, at::kLong).remainder(4);
  labels[21] = 6;
  data::Loader stray(data::memory_dataset("x", images, labels, data::numbered_class_names(7)), {.batch_size = 8});
  const Model model = network(1);
  try {
    train(model, {}, classification_objective(model, 0), stray, {.epochs = 1}, {});
    FAIL() << "accepted";
  } catch (const InvalidArgument& error) {
    EXPECT_STREQ(
        error.what(),
        "[train] sample 21 has the label 6, and the model gives logits of 4 classes. Correct the label, or give "
        "the model more classes (replace_head).");
  }
}

TEST(Trainer, RefusesOptionsOutOfRange) {
  const Model model = network(1);
  EXPECT_THROW(run(model, {.epochs = 0}), InvalidArgument);
  EXPECT_THROW(run(model, {.clip_norm = -1}), InvalidArgument);
}

TEST(CrossEntropy, RefusesShapesAndDtypes) {
  EXPECT_THROW(cross_entropy(at::zeros({2}), at::zeros({2}, at::kLong)), InvalidArgument);
  EXPECT_THROW(cross_entropy(at::zeros({2, 3}), at::zeros({2})), InvalidArgument);
  EXPECT_THROW(cross_entropy(at::zeros({2, 3}), at::zeros({3}, at::kLong)), InvalidArgument);
  EXPECT_THROW(cross_entropy(at::zeros({2, 3}), at::zeros({2, 3}, at::kLong)), InvalidArgument);
  EXPECT_THROW(cross_entropy(at::zeros({2, 3}), at::zeros({2, 4})), InvalidArgument);
}

TEST(CrossEntropy, NamesTheRowOfALabelThatIsNoClassAndLeavesIgnoredOnesOut) {
  const at::Tensor logits = at::tensor({1.0, 2.0, 3.0, 0.5, -1.0, 0.25}).view({2, 3});
  EXPECT_EQ(cross_entropy(logits, at::tensor({2, -100}, at::kLong)).item<float>(),
            cross_entropy(logits.narrow(0, 0, 1), at::tensor({2}, at::kLong)).item<float>());
  for (const int64_t label : {3, -1}) {
    try {
      cross_entropy(logits, at::tensor({int64_t{2}, label}));
      FAIL() << "accepted " << label;
    } catch (const InvalidArgument& error) {
      const std::string text = error.what();
      EXPECT_NE(text.find("row 1 of the batch has the label " + std::to_string(label)), std::string::npos) << text;
    }
  }
}

// torch.nn.functional.cross_entropy in float64.
TEST(CrossEntropy, OfSoftTargetsEqualsPyTorchs) {
  const at::Tensor logits = at::tensor({1.0, 2.0, 3.0, 0.5, -1.0, 0.25}).view({2, 3}).to(at::kDouble);
  const at::Tensor targets = at::tensor({0.2, 0.3, 0.5, 0.7, 0.3, 0.0}).view({2, 3}).to(at::kDouble);
  EXPECT_NEAR(cross_entropy(logits, targets).item<double>(), 1.125859096341442, 1e-7);
  EXPECT_NEAR(cross_entropy(logits, targets, 0.1).item<double>(), 1.147525760916279, 1e-7);
  EXPECT_NEAR(cross_entropy(logits.to(at::kFloat), targets.to(at::kHalf)).item<double>(), 1.125859096341442, 2e-4)
      << "targets of another type take the logits'";
}

TEST(CrossEntropy, OfOneHotTargetsIsThatOfLabels) {
  const at::Tensor logits = at::tensor({1.0, 2.0, 3.0, 0.5, -1.0, 0.25}).view({2, 3});
  const at::Tensor labels = at::tensor({2, 0}, at::kLong);
  const at::Tensor one_hot = at::one_hot(labels, 3).to(at::kFloat);
  for (const double smoothing : {0.0, 0.1})
    EXPECT_NEAR(cross_entropy(logits, one_hot, smoothing).item<double>(),
                cross_entropy(logits, labels, smoothing).item<double>(), 1e-6);
}

}  // namespace
}  // namespace limbeck::train
