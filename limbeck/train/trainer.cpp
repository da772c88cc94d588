#include "limbeck/train/trainer.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <span>

#include "limbeck/core/error.h"
#include "limbeck/core/log.h"
#include "limbeck/model/caching_allocator.h"
#include "limbeck/model/device.h"
#include "limbeck/train/determinism.h"
#include "limbeck/train/loop/final_activation.h"
#include "limbeck/train/loop/freeze.h"
#include "limbeck/train/loop/labels.h"
#include "limbeck/train/loop/step.h"
#include "limbeck/train/loop/take_over.h"
#include "limbeck/train/losses.h"

namespace limbeck::train {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// RAII: the random generators of a run are afterwards where they were, whatever a user's code draws from them.
class GeneratorScope {
 public:
  explicit GeneratorScope(at::Device device) {
    for (auto& [name, generator] : generators_of(device)) saved_.emplace_back(generator, generator.get_state());
  }
  ~GeneratorScope() {
    for (auto& [generator, state] : saved_) generator.set_state(state);
  }
  GeneratorScope(const GeneratorScope&) = delete;
  GeneratorScope& operator=(const GeneratorScope&) = delete;

 private:
  std::vector<std::pair<at::Generator, at::Tensor>> saved_;
};

std::optional<double> accuracy_of(const std::optional<ValidationResult>& result) {
  if (!result) return std::nullopt;
  return result->accuracy;
}

/// One run of the loop: what changes from step to step.
class Run {
 public:
  Run(TrainingState state, const Objective& objective, data::Loader& loader, const TrainOptions& options,
      const RunControl& control)
      : state_(std::move(state)),
        objective_(objective),
        loader_(loader),
        options_(options),
        control_(control),
        device_(device_of(state_.model)),
        stepper_(state_, objective_, options_, control_, device_),
        frozen_norms_(frozen_norms(state_.model)) {}

  TrainSummary run() {
    begin();
    progress().length = epoch_length(loader_, options_.accumulate);
    const int64_t first_step = progress().step;
    set_training();
    loader_.seek(progress().next);
    log_.emplace(control_.metrics, first_step);
    last_factor_ = lr_factor(std::max<int64_t>(first_step - 1, 0));
    started_ = last_checkpoint_ = epoch_started_ = Clock::now();
    while (!is_finished()) {
      if (is_stopped_ || core::is_stop_requested(control_.stop)) return interrupted(first_step);
      step_or_end_epoch();
    }
    return finished(first_step);
  }

 private:
  Progress& progress() { return state_.progress; }
  bool has_checkpoints() const { return !control_.checkpoint_directory.empty(); }
  int64_t steps_of_epoch() const { return steps_per_epoch(loader_, options_.accumulate); }
  int64_t total_steps() const { return options_.epochs * steps_of_epoch(); }

  /// From the last checkpoint, where there is one.
  void begin() {
    if (has_checkpoints()) {
      const auto checkpoint = read_checkpoint(control_.checkpoint_directory, control_.run_hash);
      if (checkpoint) return resume(*checkpoint, control_.checkpoint_directory);
    }
    if (!control_.resume_from.empty()) return take_over();
    for (auto& [name, generator] : generators_of(device_)) generator.set_current_seed(options_.seed);
    progress().next.epoch = control_.epochs_done;
    progress().step = control_.epochs_done * steps_of_epoch();
    if (control_.on_start) control_.on_start(*state_.optimizer);
  }

  /// What can throw comes before the first weight is overwritten.
  void resume(const Checkpoint& checkpoint, const std::filesystem::path& directory) {
    reload_best(checkpoint.progress, directory);
    restore(checkpoint, state_);
    if (control_.on_resume) control_.on_resume(progress());
  }

  /// Goes on from another run's checkpoint, which stays as it is.
  void take_over() {
    const std::string from = control_.resume_from.string();
    std::optional<Checkpoint> checkpoint = read_checkpoint(control_.resume_from, std::nullopt);
    if (!checkpoint) fail<IoError>("[train] there is no checkpoint to resume from in '{}'", from);
    check_take_over(checkpoint->progress, from, options_, loader_);
    if (options_.keep == Keep::best) forget_lost_best(checkpoint->progress);
    resume(*checkpoint, control_.resume_from);
    if (best_model_ && has_checkpoints())
      save_best(control_.checkpoint_directory, *best_model_, progress().epochs[*best()].epoch);
  }

  /// That run may have kept no weights, or those that another metric calls the best.
  void forget_lost_best(Progress& there) const {
    const std::span<const EpochSummary> judged = std::span(there.epochs).subspan(there.best_from);
    const bool has_all = std::all_of(judged.begin(), judged.end(),
                                     [&](const EpochSummary& epoch) { return has_metric(epoch, options_.monitor); });
    const auto place = has_all ? best_of(there) : std::nullopt;
    if (there.epochs.empty() || (place && has_best(control_.resume_from, there.epochs[*place].epoch))) return;
    there.best_from = there.epochs.size();
    core::log_warning("[train] the run of '{}' kept no weights of its best epoch by {}: keep: best begins after its {}",
                      control_.resume_from.string(), metric_name(options_.monitor), there.epochs.size());
  }

  bool is_finished() {
    return progress().next.epoch >= options_.epochs ||
           is_early_stop(progress().epochs, options_.monitor, options_.early_stop);
  }

  void set_training() {
    state_.model.train();
    for (const std::string& scope : frozen_norms_) state_.model.eval(scope);
    for (auto& [name, companion] : state_.companions) companion.train();
  }

  void step_or_end_epoch() {
    const Clock::time_point start = Clock::now();
    const std::optional<data::Batch> batch = loader_.next();
    if (!batch) return end_epoch();
    const double factor = lr_factor(progress().step);
    const BatchGroup group = group_at(loader_, progress().next.step, options_.accumulate);
    const StepOutcome outcome = stepper_(*batch, loader_, group, factor);
    count(outcome);
    average();
    report(ProgressOf::step);
    after_step({.epoch = progress().next.epoch,
                .step = progress().step,
                .loss = outcome.loss,
                .grad_norm = outcome.grad_norm,
                .lr = options_.optimizer.lr * factor,
                .samples = outcome.samples,
                .seconds = seconds_since(start),
                .is_skipped = outcome.is_skipped});
    if (is_checkpoint_due()) save();
  }

  /// A skipped step leaves no trace in the epoch's means: its loss may be no number.
  void count(const StepOutcome& outcome) {
    ++progress().step;
    ++steps_here_;
    progress().next = loader_.state();
    images_here_ += outcome.samples;
    if (outcome.is_skipped) return;
    progress().meter.loss_sum += outcome.loss * static_cast<double>(outcome.samples);
    progress().meter.correct += outcome.correct;
    progress().meter.samples += outcome.samples;
  }

  void average() {
    if (!state_.average || progress().step % options_.ema.every != 0) return;
    update_average(*state_.average, state_.model, options_.ema.decay, progress().step / options_.ema.every - 1);
  }

  void after_step(const StepReport& report) {
    log_->add_step(report);
    if (control_.hooks.on_step) call_hook([&] { return control_.hooks.on_step(report); });
  }

  template <class Hook>
  void call_hook(const Hook& hook) {
    const GeneratorScope generators(device_);
    if (hook() == AfterHook::stop) is_stopped_ = true;
    set_training();
  }

  /// When stopped during the validation, the epoch stays unfinished: its end is done again after resuming.
  void end_epoch() {
    const EpochMeter meter = progress().meter;
    const auto samples = static_cast<double>(std::max<int64_t>(meter.samples, 1));
    EpochSummary summary{.epoch = progress().next.epoch,
                         .loss = meter.loss_sum / samples,
                         .train_accuracy = static_cast<double>(meter.correct) / samples,
                         .seconds = seconds_since(epoch_started_)};
    if (control_.validate && !validate(summary)) return;
    progress().epochs.push_back(summary);
    report(ProgressOf::epoch);
    log_->add_epoch(summary, progress().step);
    if (control_.hooks.on_epoch) call_hook([&] { return control_.hooks.on_epoch(summary); });
    progress().meter = {};
    progress().next = {.epoch = progress().next.epoch + 1, .step = 0};
    keep_if_best();
    save();
    epoch_started_ = Clock::now();
  }

  /// The model that is evaluated, and kept where it is the best so far.
  const Model& judged_model() const {
    return state_.average && options_.ema.use == AverageUse::instead ? *state_.average : state_.model;
  }

  /// False when stopped.
  bool validate(EpochSummary& summary) {
    const Clock::time_point start = Clock::now();
    const GeneratorScope generators(device_);
    const std::optional<ValidationResult> result = control_.validate(judged_model());
    if (result && state_.average && options_.ema.use == AverageUse::beside) {
      summary.averaged = control_.validate(*state_.average);
      if (!summary.averaged) return stopped_in_validation();
    }
    validation_seconds_ += seconds_since(start);
    if (!result) return stopped_in_validation();
    summary.val_accuracy = result->accuracy;
    summary.val_loss = result->loss;
    return true;
  }

  bool stopped_in_validation() const {
    LIMBECK_ASSERT(core::is_stop_requested(control_.stop), "[train] the validation gave nothing, without a stop");
    return false;
  }

  /// Among the epochs whose weights could be kept.
  std::optional<std::size_t> best_of(const Progress& there) const {
    const auto place = best_epoch(std::span(there.epochs).subspan(there.best_from), options_.monitor);
    return place ? std::optional(*place + there.best_from) : std::nullopt;
  }
  std::optional<std::size_t> best() const { return best_of(state_.progress); }

  /// Before the checkpoint that says so: what a kill leaves is then at most one file too many.
  void keep_if_best() {
    if (options_.keep != Keep::best || best() != progress().epochs.size() - 1) return;
    best_model_ = judged_model().clone();
    if (has_checkpoints()) save_best(control_.checkpoint_directory, *best_model_, progress().epochs.back().epoch);
  }

  void reload_best(const Progress& saved, const std::filesystem::path& directory) {
    const auto place = options_.keep == Keep::best ? best_of(saved) : std::nullopt;
    if (!place) return;
    best_model_ = judged_model().clone();
    load_best(directory, *best_model_, saved.epochs[*place].epoch);
  }

  bool is_checkpoint_due() const {
    if (control_.checkpoint_steps > 0 && state_.progress.step % control_.checkpoint_steps == 0) return true;
    return seconds_since(last_checkpoint_) >= control_.checkpoint_seconds;
  }

  void save() {
    if (!has_checkpoints()) return;
    save_checkpoint(control_.checkpoint_directory, state_, control_.run_hash);
    if (const auto place = options_.keep == Keep::best ? best() : std::nullopt)
      keep_best_alone(control_.checkpoint_directory, progress().epochs[*place].epoch);
    last_checkpoint_ = Clock::now();
  }

  TrainSummary interrupted(int64_t first_step) {
    save();
    return {.completed = false, .resumed_at_step = first_step, .progress = progress(), .best = std::nullopt};
  }

  TrainSummary finished(int64_t first_step) {
    set_training();
    return {.completed = true,
            .resumed_at_step = first_step,
            .progress = progress(),
            .is_early_stop = progress().next.epoch < options_.epochs,
            .best = options_.keep == Keep::best ? best() : std::nullopt,
            .best_model = best_model_,
            .averaged_model = state_.average};
  }

  double lr_factor(int64_t step) const {
    const double factor = learning_rate_factor(options_.schedule, step, total_steps(), steps_of_epoch());
    if (options_.schedule.kind != ScheduleKind::plateau) return factor;
    return factor * plateau_factor(options_.schedule.plateau, options_.monitor, state_.progress.epochs);
  }

  enum class ProgressOf : uint8_t { step, epoch };

  void report(ProgressOf what) {
    if (!control_.on_progress) return;
    const EpochSummary* const finished = what == ProgressOf::epoch ? &progress().epochs.back() : nullptr;
    const EpochMeter& meter = progress().meter;
    const double elapsed = std::max(seconds_since(started_), 1e-9);
    const auto samples = static_cast<double>(std::max<int64_t>(meter.samples, 1));
    const bool is_epoch_end = what == ProgressOf::epoch;
    control_.on_progress(
        {.epoch = progress().next.epoch,
         .epochs = options_.epochs,
         .step = (progress().next.step + options_.accumulate - 1) / options_.accumulate,
         .steps = steps_of_epoch(),
         .loss = meter.loss_sum / samples,
         .accuracy = static_cast<double>(meter.correct) / samples,
         .lr = options_.optimizer.lr * last_factor(what),
         .images_per_second = static_cast<double>(images_here_) / std::max(elapsed - validation_seconds_, 1e-9),
         .seconds_left = elapsed / static_cast<double>(std::max<int64_t>(steps_here_, 1)) *
                         static_cast<double>(total_steps() - progress().step),
         .is_epoch_end = is_epoch_end,
         .val_accuracy = finished == nullptr ? std::nullopt : finished->val_accuracy,
         .averaged_val_accuracy = finished == nullptr ? std::nullopt : accuracy_of(finished->averaged)});
  }

  /// Of the last step, which an epoch's end, whose results a plateau already knows, must not see as the next one.
  double last_factor(ProgressOf what) {
    if (what == ProgressOf::step) last_factor_ = lr_factor(std::max<int64_t>(progress().step - 1, 0));
    return last_factor_;
  }

  TrainingState state_;
  const Objective& objective_;
  data::Loader& loader_;
  const TrainOptions& options_;
  const RunControl& control_;
  at::Device device_;
  Stepper stepper_;
  std::vector<std::string> frozen_norms_;  // scopes of the model that stay in eval mode
  std::optional<MetricsLog> log_;
  std::optional<Model> best_model_;
  Clock::time_point started_, last_checkpoint_, epoch_started_;
  int64_t steps_here_ = 0, images_here_ = 0;
  double validation_seconds_ = 0, last_factor_ = 1;
  bool is_stopped_ = false;  // by a hook
};

/// Before hours of training end in "there is no such metric".
void check_monitor(const TrainOptions& options, const RunControl& control) {
  const char* user = options.keep == Keep::best                       ? "keep: best"
                     : options.early_stop.patience > 0                ? "early_stop"
                     : options.schedule.kind == ScheduleKind::plateau ? "the plateau schedule"
                                                                      : nullptr;
  LIMBECK_CHECK(
      user == nullptr || !is_of_validation(options.monitor) || control.validate,
      "[train] {} goes by {}, and no samples are held out. Hold some out (val_size), or set monitor to loss or "
      "train_accuracy.",
      user, metric_name(options.monitor));
}

std::vector<NamedTensor> parameters_of(const Model& model,
                                       const std::vector<std::pair<std::string, Model>>& companions) {
  std::vector<NamedTensor> parameters = model.named_parameters();
  for (const auto& [name, companion] : companions) {
    for (const NamedTensor& parameter : companion.named_parameters()) {
      parameters.push_back({name + "/" + parameter.name, parameter.tensor});
    }
  }
  return parameters;
}

/// With everything checked that can be before the first step.
Optimizer make_optimizer(const Model& model, const std::vector<std::pair<std::string, Model>>& companions,
                         const TrainOptions& options, const RunControl& control) {
  options.validate();
  check_monitor(options, control);
  LIMBECK_CHECK(control.epochs_done >= 0 && control.epochs_done < options.epochs,
                "[train] {} epochs are done, and epochs is {}: ask for more", control.epochs_done, options.epochs);
  return {parameters_of(model, companions), options.optimizer};
}

}  // namespace

void TrainOptions::validate() const {
  LIMBECK_CHECK(epochs >= 1, "[train] epochs must be at least 1, got {}", epochs);
  LIMBECK_CHECK(accumulate >= 1, "[train] accumulate must be at least 1, got {}", accumulate);
  LIMBECK_CHECK(clip_norm >= 0, "[train] clip_norm must be at least 0, got {}", clip_norm);
  LIMBECK_CHECK(label_smoothing >= 0 && label_smoothing <= 1, "[train] label_smoothing must lie in [0, 1], got {}",
                label_smoothing);
  optimizer.validate();
  schedule.validate();
  ema.validate();
  early_stop.validate();
  loss_scale.validate();
}

Model result_of(const Model& trained, const TrainSummary& summary, const TrainOptions& options) {
  if (summary.best_model) return *summary.best_model;
  return summary.averaged_model && options.ema.use == AverageUse::instead ? *summary.averaged_model : trained;
}

Objective classification_objective(const Model& model, double label_smoothing, Fusion fusion) {
  warn_of_final_activation(model.graph());
  return [model = model, label_smoothing, fusion](const data::Batch& batch, const Progress&) mutable -> StepResult {
    const at::Tensor logits = model.forward(batch.x, {.fusion = fusion}).logits();
    check_labels(batch, logits);
    const at::Tensor& targets = batch.targets.defined() ? batch.targets : batch.y;
    return {.loss = cross_entropy(logits, targets, label_smoothing), .logits = logits};
  };
}

void check_training(const Model& model, const std::vector<std::pair<std::string, Model>>& companions,
                    const TrainOptions& options, const RunControl& control) {
  Optimizer optimizer = make_optimizer(model, companions, options, control);
  if (control.on_start) control.on_start(optimizer);
}

TrainSummary train(const Model& model, const std::vector<std::pair<std::string, Model>>& companions,
                   const Objective& objective, data::Loader& loader, const TrainOptions& options,
                   const RunControl& control) {
  Optimizer optimizer = make_optimizer(model, companions, options, control);
  const DeterministicScope deterministic(device_of(model));
  const CachingAllocatorScope memory;
  const at::AutoGradMode gradients(true);
  std::optional<LossScaler> scaler;
  if (options.precision == Precision::fp16) scaler.emplace(options.loss_scale);
  TrainingState state{.model = model, .companions = companions, .optimizer = &optimizer};
  if (options.ema.is_on()) state.average = make_average(model);
  state.scaler = scaler ? &*scaler : nullptr;
  return Run(std::move(state), objective, loader, options, control).run();
}

}  // namespace limbeck::train
