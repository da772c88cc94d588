// Internal to the trainer: one optimizer step from a group of batches.
#pragma once

#include <cstdint>
#include <string_view>

#include "limbeck/model/precision/weight_cache.h"
#include "limbeck/train/loop/accumulation.h"
#include "limbeck/train/trainer.h"

namespace limbeck::train {

struct StepOutcome {
  double loss = 0;  // mean over the group's samples
  int64_t correct = 0;
  int64_t samples = 0;
  double grad_norm = 0;     // before clipping
  bool is_skipped = false;  // fp16: a gradient overflowed, nothing was updated
};

/// Forward, backward, scale, check, clip, update: step after step of one run.
class Stepper {
 public:
  /// All of it must outlive the stepper. Batches are moved to `device`.
  Stepper(TrainingState& state, const Objective& objective, const TrainOptions& options, const RunControl& control,
          at::Device device)
      : state_(state), objective_(objective), options_(options), control_(control), device_(device) {}

  /// A step from `first` and the batches that `loader` gives after it. Throws InvalidArgument when loss or gradients
  /// are not finite, before the update: weights and the last checkpoint stand.
  StepOutcome operator()(const data::Batch& first, data::Loader& loader, const BatchGroup& group, double lr_factor);

 private:
  void add_batch(const data::Batch& batch, const BatchGroup& group, StepOutcome& outcome);
  StepResult evaluate_objective(const data::Batch& batch);
  void update(StepOutcome& outcome, double factor, double lr_factor);
  [[noreturn]] void refuse_not_finite(std::string_view what) const;

  TrainingState& state_;
  const Objective& objective_;
  const TrainOptions& options_;
  const RunControl& control_;
  at::Device device_;
  WeightCache weights_;  // of all models that the objective runs
};

}  // namespace limbeck::train
