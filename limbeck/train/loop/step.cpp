#include "limbeck/train/loop/step.h"

#include <ATen/ATen.h>

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "limbeck/core/error.h"
#include "limbeck/core/log.h"
#include "limbeck/train/optim/gradients.h"
#include "limbeck/train/update.h"

namespace limbeck::train {

namespace {

data::Batch on_device(const data::Batch& batch, at::Device device) {
  data::Batch moved = batch;
  moved.x = batch.x.to(device);
  moved.y = batch.y.to(device);
  if (batch.targets.defined()) moved.targets = batch.targets.to(device);
  return moved;
}

bool has_files(const std::filesystem::path& folder) {
  return std::filesystem::exists(folder) && !std::filesystem::is_empty(folder);
}

/// A loss that is not finite has its reason in the data where images are not.
void check_inputs(const data::Batch& batch) {
  for (int64_t i = 0; i < batch.size(); ++i) {
    LIMBECK_CHECK(batch.x[i].isfinite().all().item<bool>(),
                  "[train] sample {} of the training data has pixels that are not finite: mend it or take it out.",
                  batch.index.defined() ? batch.index[i].item<int64_t>() : i);
  }
}

/// Such as auxiliary heads that no term of the loss sees: the user may not know.
void tell_of_missing_gradients(const std::vector<NamedTensor>& parameters) {
  constexpr std::size_t kNamed = 5;
  std::vector<std::string> names;
  for (const NamedTensor& parameter : parameters) {
    if (!parameter.tensor.grad().defined()) names.push_back(parameter.name);
  }
  if (names.empty()) return;
  const std::size_t missing = names.size();
  names.resize(std::min(missing, kNamed));
  core::log_warning(
      "[train] {} of {} trainable parameters get no gradient from the loss and stay as they are: {}{}. Freeze them, or "
      "choose the output that they lead to.",
      missing, parameters.size(), fmt::join(names, ", "), missing > kNamed ? ", ..." : "");
}

}  // namespace

StepOutcome Stepper::operator()(const data::Batch& first, data::Loader& loader, const BatchGroup& group,
                                double lr_factor) {
  StepOutcome outcome;
  state_.optimizer->zero_grad();
  add_batch(first, group, outcome);
  for (int64_t i = 1; i < group.batches; ++i) {
    const std::optional<data::Batch> batch = loader.next();
    LIMBECK_ASSERT(batch, "[train] the epoch ended within a group of batches");
    add_batch(*batch, group, outcome);
  }
  if (outcome.samples == 0) {
    outcome.is_skipped = true;  // none of them could be read, and the loader was told to go on
    return outcome;
  }
  // A loader that skips what it cannot read gives less than was planned for.
  const double missing = static_cast<double>(group.samples) / static_cast<double>(outcome.samples);
  outcome.loss *= missing;
  update(outcome, missing, lr_factor);
  return outcome;
}

/// A batch's loss is the mean over its samples: it counts as many of the group's as there are.
void Stepper::add_batch(const data::Batch& batch, const BatchGroup& group, StepOutcome& outcome) {
  if (batch.size() == 0) return;
  const StepResult result = evaluate_objective(on_device(batch, device_));
  const double share = static_cast<double>(batch.size()) / static_cast<double>(group.samples);
  const double factor = state_.scaler == nullptr ? share : share * state_.scaler->scale();
  const double loss = result.loss.item<double>();
  if (!std::isfinite(loss)) check_inputs(batch);
  if (state_.scaler == nullptr && !std::isfinite(loss)) refuse_not_finite("loss");
  (factor == 1 ? result.loss : result.loss * factor).backward();
  outcome.loss += share == 1 ? loss : loss * share;
  outcome.correct += result.logits.detach().argmax(1).eq(batch.y.to(device_)).sum().item<int64_t>();
  outcome.samples += batch.size();
}

StepResult Stepper::evaluate_objective(const data::Batch& batch) {
  if (options_.precision == Precision::fp32) return objective_(batch, state_.progress);
  const Autocast autocast(autocast_dtype(options_.precision), device_.type());
  const WeightCacheScope weights(weights_);
  return objective_(batch, state_.progress);
}

void Stepper::update(StepOutcome& outcome, double factor, double lr_factor) {
  if (state_.progress.step == 0) tell_of_missing_gradients(state_.optimizer->parameters());
  LossScaler* const scaler = state_.scaler;
  if (scaler != nullptr) factor /= scaler->scale();
  const UpdateDecision decision =
      decide_update(gradients_of(state_.optimizer->parameters()), {.factor = factor, .clip_norm = options_.clip_norm});
  outcome.grad_norm = decision.grad_norm;
  if (scaler != nullptr) {
    outcome.is_skipped = !decision.is_finite;
    scaler->update(outcome.is_skipped);
    if (outcome.is_skipped) return;
  }
  if (!decision.is_finite) refuse_not_finite("gradients");
  for (const NamedTensor& parameter : state_.optimizer->parameters()) weights_.forget(parameter.tensor);
  state_.optimizer->step(lr_factor, decision.gradient_scale);
}

void Stepper::refuse_not_finite(std::string_view what) const {
  const std::string parameter = first_not_finite(state_.optimizer->parameters());
  fail_not_finite({.scope = "train",
                   .what = what,
                   .step = fmt::format("epoch {}, step {}", state_.progress.next.epoch + 1,
                                       state_.progress.next.step / options_.accumulate + 1),
                   .parameter = parameter.empty() ? "" : "'" + parameter + "'",
                   .remains = has_files(control_.checkpoint_directory) ? "The last checkpoint stands." : ""});
}

}  // namespace limbeck::train
