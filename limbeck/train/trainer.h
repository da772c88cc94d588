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
#include "limbeck/train/optim/optimizer.h"
#include "limbeck/train/precision.h"
#include "limbeck/train/schedule.h"

namespace limbeck::train {

struct TrainOptions {
  int64_t epochs = 1;
  OptimizerOptions optimizer{};
  ScheduleOptions schedule{};
  double clip_norm = 0;        // joint 2-norm of all gradients at most this; 0: no clipping
  double label_smoothing = 0;  // of the cross-entropy
  Precision precision = Precision::fp32;
  uint64_t seed = 0;  // of dropout and stochastic depth

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
  int64_t step = 0, steps = 0;    // within the epoch, from 1
  double loss = 0;                // mean of the epoch so far
  double accuracy = 0;            // of the epoch so far
  double lr = 0;                  // the optimizer's at the last step; that of its groups has the same factor
  double images_per_second = 0;   // since this process went on with the run
  double seconds_left = 0;
  bool is_epoch_end = false;
  std::optional<double> val_accuracy = std::nullopt;  // at an epoch's end, where there is a validation
};

struct RunControl {
  std::filesystem::path checkpoint_directory{};  // empty: no checkpoints
  double checkpoint_seconds = 30;                // time between checkpoints within an epoch; each epoch's end has one
  int64_t checkpoint_steps = 0;                  // and at least every so many steps; 0: by time alone
  std::string run_hash{};                        // checkpoints of another run are refused
  const core::StopFlag* stop = nullptr;          // raised: finish the step, save, return
  /// Called after each epoch, models still in train mode: the top-1 on held-out samples, nothing only when stopped.
  /// It must change neither models nor the random generator.
  std::function<std::optional<double>()> validate{};
  std::function<void(const Progress&)> on_resume{};  // before the first step, where a checkpoint was found
  std::function<void(const ProgressEvent&)> on_progress{};
};

struct TrainSummary {
  bool completed = false;  // false: stopped on request after saving
  int64_t resumed_at_step = 0;
  Progress progress;
};

/// Plain training: cross-entropy of the model's logits.
Objective classification_objective(const Model& model, double label_smoothing);

/// Trains `model` and `companions` until `options.epochs` are done or a stop is requested; goes on from the last
/// checkpoint when there is one. Models are left in train mode. Throws InvalidArgument when the loss or
/// a gradient is no longer finite (before the step: weights and the last checkpoint stand), and what objective, loader
/// and disk throw.
TrainSummary train(const Model& model, const std::vector<std::pair<std::string, Model>>& companions,
                   const Objective& objective, data::Loader& loader, const TrainOptions& options,
                   const RunControl& control);

}  // namespace limbeck::train
