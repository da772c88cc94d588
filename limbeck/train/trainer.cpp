#include "limbeck/train/trainer.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <chrono>
#include <cmath>

#include "limbeck/core/error.h"
#include "limbeck/train/determinism.h"
#include "limbeck/train/losses.h"

namespace limbeck::train {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// One run of the loop: what changes from step to step.
class Run {
 public:
  Run(TrainingState state, const Objective& objective, data::Loader& loader, const TrainOptions& options,
      const RunControl& control)
      : state_(std::move(state)), objective_(objective), loader_(loader), options_(options), control_(control) {}

  TrainSummary run() {
    const bool resumed = has_checkpoints() && load_checkpoint(control_.checkpoint_directory, state_, control_.run_hash);
    if (!resumed) seed_generator();
    if (resumed && control_.on_resume) control_.on_resume(progress());
    const int64_t first_step = progress().step;
    set_training();
    loader_.seek(progress().next);
    started_ = last_checkpoint_ = epoch_started_ = Clock::now();
    while (progress().next.epoch < options_.epochs) {
      if (core::is_stop_requested(control_.stop)) return interrupted(first_step);
      step_or_end_epoch();
    }
    return {.completed = true, .resumed_at_step = first_step, .progress = progress()};
  }

 private:
  Progress& progress() { return state_.progress; }
  bool has_checkpoints() const { return !control_.checkpoint_directory.empty(); }
  int64_t total_steps() const { return options_.epochs * loader_.batches_per_epoch(); }

  void seed_generator() const {
    at::Generator generator = at::detail::getDefaultCPUGenerator();
    generator.set_current_seed(options_.seed);
  }

  void set_training() {
    state_.model.train();
    for (auto& [name, companion] : state_.companions) companion.train();
  }

  void step_or_end_epoch() {
    const std::optional<data::Batch> batch = loader_.next();
    if (!batch) return end_epoch();
    optimize(*batch, lr_factor(progress().step));
    ++progress().step;
    ++steps_here_;
    progress().next = loader_.state();
    images_here_ += batch->size();
    report(false);
    if (is_checkpoint_due()) save();
  }

  void optimize(const data::Batch& batch, double factor) {
    const StepResult result = evaluate_objective(batch);
    const double loss = result.loss.item<double>();
    check_finite(loss, "loss");
    state_.optimizer->zero_grad();
    result.loss.backward();
    const std::vector<NamedTensor>& parameters = state_.optimizer->parameters();
    check_finite(options_.clip_norm > 0 ? clip_grad_norm(parameters, options_.clip_norm) : grad_norm(parameters),
                 "norm of the gradients");
    state_.optimizer->step(factor);
    EpochMeter& meter = progress().meter;
    meter.loss_sum += loss * static_cast<double>(batch.size());
    meter.correct += result.logits.detach().argmax(1).eq(batch.y).sum().item<int64_t>();
    meter.samples += batch.size();
  }

  /// Before the optimizer's step: after it, the weights and the next checkpoint would have it too.
  void check_finite(double value, const char* what) {
    LIMBECK_CHECK(std::isfinite(value),
                  "[train] the {} became {} in epoch {}, step {}. {}Lower the learning rate or set clip_norm.", what,
                  value, progress().next.epoch + 1, progress().next.step + 1,
                  has_checkpoints() ? "The last checkpoint stands. " : "");
  }

  StepResult evaluate_objective(const data::Batch& batch) {
    if (options_.precision == Precision::fp32) return objective_(batch, progress());
    const Autocast autocast(at::kBFloat16);
    return objective_(batch, progress());
  }

  /// When stopped during the validation, the epoch stays unfinished: its end is done again after resuming.
  void end_epoch() {
    const EpochMeter meter = progress().meter;
    const auto samples = static_cast<double>(std::max<int64_t>(meter.samples, 1));
    EpochSummary summary{.epoch = progress().next.epoch,
                         .loss = meter.loss_sum / samples,
                         .train_accuracy = static_cast<double>(meter.correct) / samples,
                         .seconds = seconds_since(epoch_started_)};
    if (control_.validate) {
      const Clock::time_point start = Clock::now();
      summary.val_accuracy = control_.validate();
      validation_seconds_ += seconds_since(start);
      if (!summary.val_accuracy) {
        LIMBECK_ASSERT(core::is_stop_requested(control_.stop), "[train] the validation gave nothing, without a stop");
        return;
      }
    }
    progress().epochs.push_back(summary);
    report(true);
    progress().meter = {};
    progress().next = {.epoch = progress().next.epoch + 1, .step = 0};
    epoch_started_ = Clock::now();
    save();
  }

  bool is_checkpoint_due() const {
    if (control_.checkpoint_steps > 0 && state_.progress.step % control_.checkpoint_steps == 0) return true;
    return seconds_since(last_checkpoint_) >= control_.checkpoint_seconds;
  }

  void save() {
    if (!has_checkpoints()) return;
    save_checkpoint(control_.checkpoint_directory, state_, control_.run_hash);
    last_checkpoint_ = Clock::now();
  }

  TrainSummary interrupted(int64_t first_step) {
    save();
    return {.completed = false, .resumed_at_step = first_step, .progress = progress()};
  }

  double lr_factor(int64_t step) const {
    return learning_rate_factor(options_.schedule, step, total_steps(), loader_.batches_per_epoch());
  }

  void report(bool is_epoch_end) {
    if (!control_.on_progress) return;
    const EpochMeter& meter = progress().meter;
    const double elapsed = std::max(seconds_since(started_), 1e-9);
    const auto samples = static_cast<double>(std::max<int64_t>(meter.samples, 1));
    control_.on_progress(
        {.epoch = progress().next.epoch,
         .epochs = options_.epochs,
         .step = progress().next.step,
         .steps = loader_.batches_per_epoch(),
         .loss = meter.loss_sum / samples,
         .accuracy = static_cast<double>(meter.correct) / samples,
         .lr = options_.optimizer.lr * lr_factor(std::max<int64_t>(progress().step - 1, 0)),
         .images_per_second = static_cast<double>(images_here_) / std::max(elapsed - validation_seconds_, 1e-9),
         .seconds_left = elapsed / static_cast<double>(std::max<int64_t>(steps_here_, 1)) *
                         static_cast<double>(total_steps() - progress().step),
         .is_epoch_end = is_epoch_end,
         .val_accuracy = is_epoch_end ? progress().epochs.back().val_accuracy : std::nullopt});
  }

  TrainingState state_;
  const Objective& objective_;
  data::Loader& loader_;
  const TrainOptions& options_;
  const RunControl& control_;
  Clock::time_point started_, last_checkpoint_, epoch_started_;
  int64_t steps_here_ = 0, images_here_ = 0;
  double validation_seconds_ = 0;
};

}  // namespace

void TrainOptions::validate() const {
  LIMBECK_CHECK(epochs >= 1, "[train] epochs must be at least 1, got {}", epochs);
  LIMBECK_CHECK(clip_norm >= 0, "[train] clip_norm must be at least 0, got {}", clip_norm);
  LIMBECK_CHECK(label_smoothing >= 0 && label_smoothing <= 1, "[train] label_smoothing must lie in [0, 1], got {}",
                label_smoothing);
  optimizer.validate();
  schedule.validate();
}

Objective classification_objective(const Model& model, double label_smoothing) {
  return [model = model, label_smoothing](const data::Batch& batch, const Progress&) mutable -> StepResult {
    const at::Tensor logits = model.forward(batch.x).logits();
    return {.loss = cross_entropy(logits, batch.y, label_smoothing), .logits = logits};
  };
}

TrainSummary train(const Model& model, const std::vector<std::pair<std::string, Model>>& companions,
                   const Objective& objective, data::Loader& loader, const TrainOptions& options,
                   const RunControl& control) {
  options.validate();
  const DeterministicScope deterministic;
  const at::AutoGradMode gradients(true);
  std::vector<NamedTensor> parameters = model.named_parameters();
  for (const auto& [name, companion] : companions) {
    for (const NamedTensor& parameter : companion.named_parameters()) {
      parameters.push_back({name + "/" + parameter.name, parameter.tensor});
    }
  }
  Optimizer optimizer(parameters, options.optimizer);
  return Run({.model = model, .companions = companions, .optimizer = &optimizer}, objective, loader, options, control)
      .run();
}

}  // namespace limbeck::train
