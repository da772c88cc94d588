// The training loop: one model (and companions such as adapters), one optimizer, one objective.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "limbeck/core/stop.h"
#include "limbeck/data/loader.h"
#include "limbeck/model/model.h"
#include "limbeck/train/checkpoint.h"
#include "limbeck/train/loop/average.h"
#include "limbeck/train/loop/metrics_log.h"
#include "limbeck/train/loop/monitor.h"
#include "limbeck/train/optim/optimizer.h"
#include "limbeck/train/precision.h"
#include "limbeck/train/schedule.h"

namespace limbeck::train {

enum class Keep : uint8_t {
  last,  // the weights after the last epoch are the result
  best,  // those of the epoch that was best by TrainOptions::monitor
};

struct TrainOptions {
  int64_t epochs = 1;
  int64_t accumulate = 1;  // batches whose gradients make one optimizer step, as if they were one batch
  OptimizerOptions optimizer{};
  ScheduleOptions schedule{};
  double clip_norm = 0;        // joint 2-norm of all gradients at most this; 0: no clipping
  double label_smoothing = 0;  // of the cross-entropy
  AverageOptions ema{};
  Metric monitor = Metric::val_accuracy;  // what plateau, early_stop and keep: best go by
  EarlyStopOptions early_stop{};
  Keep keep = Keep::last;
  Precision precision = Precision::fp32;
  LossScalerOptions loss_scale{};    // of fp16
  Fusion fusion = Fusion::training;  // of what runs in train mode; for the objectives made from these options
  uint64_t seed = 0;                 // of dropout and stochastic depth

  /// Throws InvalidArgument if a field is out of range.
  void validate() const;
};

/// What one step made: the loss to minimise, the logits (for the training accuracy) and named terms for the log.
struct StepResult {
  at::Tensor loss;    // scalar with gradient
  at::Tensor logits;  // [B, C]
};

/// Runs the models on a batch. Called with gradients on, in train mode, inside autocast where the precision asks for
/// it.
using Objective = std::function<StepResult(const data::Batch&, const Progress&)>;

/// Where a run stands, told after each step that is due for it.
struct ProgressEvent {
  int64_t epoch = 0, epochs = 0;  // from 0
  int64_t step = 0, steps = 0;    // optimizer steps within the epoch, from 1
  double loss = 0;                // mean of the epoch so far
  double accuracy = 0;            // of the epoch so far
  double lr = 0;                  // the optimizer's at the last step; that of its groups has the same factor
  double images_per_second = 0;   // since this process went on with the run
  double seconds_left = 0;
  bool is_epoch_end = false;
  std::optional<double> val_accuracy = std::nullopt;           // at an epoch's end, where there is a validation
  std::optional<double> averaged_val_accuracy = std::nullopt;  // likewise, of averaged weights beside the trained ones
};

/// What a hook says of the run.
enum class AfterHook : uint8_t { go_on, stop };

/// Calls into a user's code. They may look at models and files and ask for a stop: the run then saves its checkpoint
/// and returns as when it is interrupted, and goes on from there when it is started again. They must not change models
/// or optimizer; what they draw from the default random generators, and modes that they set, are put back, so that a
/// run with hooks has the bits of one without. After a kill the steps since the last checkpoint are made again, and
/// hooks are called for them again. What a hook throws ends the run; its last checkpoint stands.
struct Hooks {
  std::function<AfterHook(const StepReport&)> on_step{};  // after each optimizer step
  std::function<AfterHook(const EpochSummary&)>
      on_epoch{};  // after each epoch and its validation, before its checkpoint
};

struct RunControl {
  std::filesystem::path checkpoint_directory{};  // empty: no checkpoints
  double checkpoint_seconds = 30;                // time between checkpoints within an epoch; each epoch's end has one
  int64_t checkpoint_steps = 0;                  // and at least every so many steps; 0: by time alone
  std::string run_hash{};                        // checkpoints of another run are refused
  std::filesystem::path
      resume_from{};  // checkpoints of a run, whatever its options: where this one has none, its start
  const core::StopFlag* stop = nullptr;  // raised: finish the step, save, return
  /// Called after each epoch with the model to evaluate, the trained one (still in train mode) or the averaged one:
  /// what held-out samples say of it, nothing only when stopped. It must not change the model.
  std::function<std::optional<ValidationResult>(const Model&)> validate{};
  /// Epochs that count as done in a run that has no checkpoint yet: schedule and order of samples begin after them.
  int64_t epochs_done = 0;
  /// Before the first step of a run that has no checkpoint yet: momentum and the like from elsewhere.
  std::function<void(Optimizer&)> on_start{};
  std::function<void(const Progress&)> on_resume{};  // before the first step, where a checkpoint was found
  std::function<void(const ProgressEvent&)> on_progress{};
  Hooks hooks{};
  MetricsOptions metrics{};
};

struct TrainSummary {
  bool completed = false;  // false: stopped on request after saving
  int64_t resumed_at_step = 0;
  Progress progress;
  bool is_early_stop = false;             // ended before all epochs, since none got better
  std::optional<std::size_t> best;        // place in progress.epochs of the best one, with keep: best
  std::optional<Model> best_model{};      // its weights
  std::optional<Model> averaged_model{};  // the averaged weights, with ema
};

/// What a completed run made of `trained`: the best epoch's weights with keep: best, else the averaged ones with ema
/// that is used instead, else the trained ones.
Model result_of(const Model& trained, const TrainSummary& summary, const TrainOptions& options);

/// Plain training: cross-entropy of the model's logits with the batch's soft targets where it has some, else its
/// labels. Warns, with the fix, of a model that ends in a softmax (final_activation.h).
Objective classification_objective(const Model& model, double label_smoothing, Fusion fusion = Fusion::training);

/// Throws InvalidArgument for what train() refuses before its first step whatever the data is: options out of range,
/// patterns of groups that match nothing, nothing that requires a gradient, a monitor of validation without one; and
/// what control.on_start throws, which it calls with an optimizer of its own.
void check_training(const Model& model, const std::vector<std::pair<std::string, Model>>& companions,
                    const TrainOptions& options, const RunControl& control);

/// Trains `model` and `companions` until `options.epochs` are done or a stop is requested; goes on from the last
/// checkpoint when there is one. It computes where the model is, batches are moved there. BatchNorms of frozen scopes
/// keep their statistics (freeze.h). Models are left in train mode. The memory of freed tensors is kept for the next
/// step while it runs (CachingAllocatorScope). Throws InvalidArgument when the loss or a gradient is no longer finite
/// (before the step: weights and the last checkpoint stand) or for what check_take_over (take_over.h) refuses of
/// control.resume_from, IoError when no checkpoint is there, and what objective, loader and disk throw.
TrainSummary train(const Model& model, const std::vector<std::pair<std::string, Model>>& companions,
                   const Objective& objective, data::Loader& loader, const TrainOptions& options,
                   const RunControl& control);

}  // namespace limbeck::train
