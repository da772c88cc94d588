#include "limbeck/train/optimize.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/full_like.h>
#include <c10/util/ScopeExit.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <utility>

#include "limbeck/core/error.h"
#include "limbeck/model/caching_allocator.h"
#include "limbeck/train/optim/gradients.h"
#include "limbeck/train/sets/describe_set.h"
#include "limbeck/train/sets/roster.h"
#include "limbeck/train/sets/turns.h"
#include "limbeck/train/update.h"

namespace limbeck::train {

namespace {

std::vector<Member> members_of(const std::vector<SetModel>& models) {
  std::vector<Member> members;
  for (const SetModel& model : models) {
    LIMBECK_CHECK(!model.name.empty(), "[optimize] model {} has no name", members.size());
    for (const Member& other : members) {
      LIMBECK_CHECK(other.name != model.name, "[optimize] two models are called '{}'. Give each its own name.",
                    model.name);
    }
    LIMBECK_CHECK(model.model.get() != nullptr, "[optimize] '{}' is a null pointer", model.name);
    members.push_back({.name = model.name, .model = model.model.get(), .role = model.role});
  }
  LIMBECK_CHECK(!members.empty(), "[optimize] the set has no model");
  return members;
}

std::vector<at::Tensor> tensors_of(const Inputs& inputs) {
  std::vector<at::Tensor> tensors;
  for (const NamedTensor& input : inputs.tensors()) tensors.push_back(input.tensor);
  return tensors;
}

/// All gradients become undefined, as zero_grad(set_to_none=True) has it.
void clear_gradients(const std::vector<at::Tensor>& parameters) {
  for (const at::Tensor& parameter : parameters) parameter.mutable_grad().reset();
}

void check_closures(const std::vector<OptimizerRef>& optimizers, Precision precision, int64_t accumulate) {
  for (const OptimizerRef& optimizer : optimizers) {
    if (!optimizer->needs_closure()) continue;
    LIMBECK_CHECK(accumulate == 1, "[optimize] {} evaluates the model within its step: accumulate must be 1, got {}",
                  optimizer->name(), accumulate);
    if (precision == Precision::fp16) {
      fail<Unsupported>(
          "[optimize] {} evaluates the model within its step, where a loss scale can't change. Use bf16 or fp32.",
          optimizer->name());
    }
  }
}

}  // namespace

void SetOptions::validate() const {
  LIMBECK_CHECK(clip_norm >= 0, "[optimize] clip_norm must be at least 0, got {}", clip_norm);
  LIMBECK_CHECK(accumulate >= 1, "[optimize] accumulate must be at least 1, got {}", accumulate);
  scaler.validate();
}

struct ModelSet::Impl {
  Precision precision;
  SetOptions options;
  std::optional<CachingAllocatorScope> memory;
  std::optional<LossScaler> scaler;
  Roster roster;
  Turns turns;
  WeightCache casts;               // of all members' weights
  std::vector<at::Tensor> losses;  // since the last update
  int64_t updates = 0;

  Impl(std::vector<Member> members, std::vector<OptimizerRef> optimizers, Precision of_runs, const SetOptions& settings)
      : precision(of_runs),
        options(settings),
        memory(settings.freed_memory == FreedMemory::kept ? std::make_optional<CachingAllocatorScope>() : std::nullopt),
        scaler(of_runs == Precision::fp16 ? std::make_optional<LossScaler>(settings.scaler) : std::nullopt),
        roster(std::move(members), std::move(optimizers), settings.fusion),
        turns(roster.optimizers().size()) {}

  // --- gradients -----------------------------------------------------------------------------------------------
  void forget_gradients() {
    roster.refresh();
    clear_gradients(roster.plan().with_gradient);
    begin_next_step();
  }

  void forget_gradients_of(std::size_t optimizer) {
    for (const NamedTensor& parameter : roster.plan().updated_by[optimizer]) parameter.tensor.mutable_grad().reset();
    turns.forget(optimizer);
  }

  void forget_spent_gradients() {
    if (turns.num_micro_batches() == 0 && !turns.has_fresh()) return forget_gradients();
    for (std::size_t i = 0; i < turns.size(); ++i) {
      if (turns.of(i).is_spent) forget_gradients_of(i);
    }
  }

  void backward(const at::Tensor& loss, RetainGraph retain) {
    LIMBECK_CHECK(loss.defined() && loss.numel() == 1, "[optimize] backward takes a scalar loss, got {}",
                  loss.defined() ? fmt::format("{} numbers", loss.numel()) : "an undefined tensor");
    LIMBECK_CHECK(loss.requires_grad(),
                  "[optimize] the loss has no gradient: no model with the role train had a part in it, or gradients "
                  "were off");
    forget_spent_gradients();
    const double factor = (scaler ? scaler->scale() : 1.0) / static_cast<double>(options.accumulate);
    // A float16 loss could not carry the scale.
    const at::Tensor wide = loss.scalar_type() == at::kHalf ? loss.to(at::kFloat) : loss;
    wide.backward(factor == 1 ? at::Tensor() : at::full_like(wide, factor), retain == RetainGraph::yes);
    losses.push_back(loss.detach());
    turns.begin();
  }

  // --- steps ---------------------------------------------------------------------------------------------------
  using Indices = std::vector<std::size_t>;

  std::vector<at::Tensor> gradients(const Indices& which) const {
    std::vector<at::Tensor> result;
    for (const std::size_t i : which) {
      for (const NamedTensor& parameter : roster.plan().updated_by[i]) result.push_back(parameter.tensor.grad());
    }
    const bool has_any = std::any_of(result.begin(), result.end(), [](const at::Tensor& g) { return g.defined(); });
    LIMBECK_CHECK(has_any,
                  "[optimize] no parameter that an optimizer owns has a gradient: the loss does not depend on them");
    return result;
  }

  bool are_losses_finite() const {
    return std::all_of(losses.begin(), losses.end(),
                       [](const at::Tensor& loss) { return std::isfinite(loss.item<double>()); });
  }

  /// The next step starts afresh.
  [[noreturn]] void refuse_not_finite(const Indices& which) {
    std::string parameter;
    for (std::size_t i = 0; i < which.size() && parameter.empty(); ++i)
      parameter = first_not_finite(roster.plan().updated_by[which[i]]);
    const bool is_loss = !are_losses_finite();
    begin_next_step();
    fail_not_finite({.scope = "optimize",
                     .what = is_loss ? "loss" : "gradients",
                     .step = fmt::format("step {}", updates + 1),
                     .parameter = std::move(parameter)});
  }

  /// What the gradients of these optimizers, times `factor`, allow.
  UpdateDecision decide(const Indices& which, double factor) const {
    UpdateDecision decision = decide_update(gradients(which), {.factor = factor, .clip_norm = options.clip_norm});
    decision.is_finite = decision.is_finite && are_losses_finite();
    return decision;
  }

  /// Whatever way an optimizer writes them.
  void forget_casts(std::size_t i) {
    for (const NamedTensor& parameter : roster.plan().updated_by[i]) casts.forget(parameter.tensor);
  }

  void step_one(std::size_t i, double gradient_scale) {
    forget_casts(i);
    if (roster.optimizers()[i]->step_scaled(gradient_scale)) return;
    if (gradient_scale != 1) scale_gradients(gradients_of(roster.plan().updated_by[i]), gradient_scale);
    roster.optimizers()[i]->step({});
  }

  void step_all(const Indices& which, double gradient_scale) {
    const HiddenGradients hidden(roster.plan().untouchable);
    for (const std::size_t i : which) {
      try {
        step_one(i, gradient_scale);
      } catch (const std::exception&) {
        roster.optimizers()[i]->rethrow_with(half_made_step_note(updates + 1, roster.optimizers(), which, i));
      }
    }
    ++updates;
  }

  /// Updates from the gradients of `num_micro_batches`, whose losses were weighted for options.accumulate of them.
  /// However it ends, the next backward() starts afresh.
  SetStep update(int64_t num_micro_batches) {
    const auto end = c10::make_scope_exit([this] { begin_next_step(); });
    roster.refresh();
    const double weight = static_cast<double>(options.accumulate) / static_cast<double>(num_micro_batches);
    const Indices which = roster.busy_optimizers();
    const UpdateDecision decision = decide(which, weight / (scaler ? scaler->scale() : 1.0));
    if (!decision.is_finite && !scaler) refuse_not_finite(which);
    if (scaler) end_iteration(turns.has_overflown() || !decision.is_finite);
    if (!decision.is_finite) return {.is_skipped = true};
    step_all(which, decision.gradient_scale);
    return {.is_updated = true, .grad_norm = decision.grad_norm};
  }

  /// Gradients stay readable; the next backward() forgets them.
  void begin_next_step() {
    turns.begin_next_step();
    losses.clear();
  }

  void end_iteration(bool is_overflow) {
    turns.end_iteration();
    scaler->update(is_overflow);
  }

  SetStep end_micro_batch() {
    LIMBECK_CHECK(turns.has_fresh(),
                  "[optimize] step() without a backward() of the set before it: call set.backward(loss), not "
                  "loss.backward()");
    turns.end_micro_batch();
    if (turns.num_micro_batches() < options.accumulate) return {};
    return update(turns.num_micro_batches());
  }

  // --- one optimizer at a time -----------------------------------------------------------------------------------
  void check_turn(std::size_t i) const {
    const std::string name = roster.optimizers()[i]->name();
    LIMBECK_CHECK(!roster.optimizers()[i]->needs_closure(), "[optimize] {} needs a closure: call step(closure)", name);
    LIMBECK_CHECK(options.accumulate == 1,
                  "[optimize] a step of {} alone updates at once: accumulate must be 1, got {}. Call backward() for "
                  "each micro-batch with its share of the loss, then step.",
                  name, options.accumulate);
    LIMBECK_CHECK(turns.of(i).is_fresh, "[optimize] step of {} without a backward() of the set since its last", name);
    LIMBECK_CHECK(!scaler || !turns.of(i).has_stepped,
                  "[optimize] {} has stepped since the last update_scale(): call it once an iteration, after the steps "
                  "of all optimizers",
                  name);
  }

  SetStep step_alone(std::size_t i) {
    roster.refresh();
    if (roster.plan().is_idle[i]) return {};
    check_turn(i);
    const Indices which{i};
    const UpdateDecision decision = decide(which, 1 / (scaler ? scaler->scale() : 1.0));
    if (!decision.is_finite && !scaler) refuse_not_finite(which);
    turns.end_alone(i);
    losses.clear();
    if (!decision.is_finite) {
      turns.tell_of_overflow();
      return {.is_skipped = true};
    }
    step_all(which, decision.gradient_scale);
    return {.is_updated = true, .grad_norm = decision.grad_norm};
  }

  void update_scale() {
    if (!scaler) return;
    LIMBECK_CHECK(turns.has_stepped(),
                  "[optimize] update_scale() without a step(optimizer) since the last one: step() of all optimizers "
                  "updates the scale by itself");
    end_iteration(turns.has_overflown());
  }

  // --- closures --------------------------------------------------------------------------------------------------
  /// Runs the user's closure and makes its gradients ready for an optimizer. Returns the loss; sets `norm`.
  at::Tensor evaluate(const LossClosure& closure, double& norm) {
    begin_next_step();
    for (const std::size_t i : roster.busy_optimizers()) forget_casts(i);
    const at::AutoGradMode on(true);
    at::Tensor loss = closure();
    LIMBECK_CHECK(turns.has_fresh(), "[optimize] the closure of step() must call backward() of the set");
    const Indices which = roster.busy_optimizers();
    const UpdateDecision decision = decide(which, 1);
    if (!decision.is_finite) refuse_not_finite(which);
    if (decision.gradient_scale != 1) scale_gradients(gradients(which), decision.gradient_scale);
    norm = decision.grad_norm;
    return loss;
  }

  bool needs_closure() const {
    return std::any_of(roster.optimizers().begin(), roster.optimizers().end(),
                       [](const OptimizerRef& optimizer) { return optimizer->needs_closure(); });
  }

  SetStep step_with_closures(const LossClosure& closure) {
    roster.refresh();
    RestoredWeights weights(roster.plan().updated);
    const HiddenGradients hidden(roster.plan().untouchable);
    double norm = 0;
    bool is_evaluated = false;
    for (const bool with_closure : {false, true}) {
      for (std::size_t i = 0; i < roster.optimizers().size(); ++i) {
        if (roster.plan().is_idle[i] || roster.optimizers()[i]->needs_closure() != with_closure) continue;
        if (!with_closure && !std::exchange(is_evaluated, true)) evaluate(closure, norm);
        roster.optimizers()[i]->step(with_closure ? LossClosure([&] { return evaluate(closure, norm); })
                                                  : LossClosure());
      }
    }
    weights.keep();
    begin_next_step();
    ++updates;
    return {.is_updated = true, .grad_norm = norm};
  }
};

ModelSet::ModelSet(const std::vector<SetModel>& models, std::vector<OptimizerRef> optimizers, Precision precision,
                   const SetOptions& options) {
  options.validate();
  std::vector<Member> members = members_of(models);
  check_closures(optimizers, precision, options.accumulate);
  impl_ = std::make_unique<Impl>(std::move(members), std::move(optimizers), precision, options);
}

ModelSet::~ModelSet() = default;
ModelSet::ModelSet(ModelSet&&) noexcept = default;
ModelSet& ModelSet::operator=(ModelSet&&) noexcept = default;

RoleScope ModelSet::enter(std::string_view name, std::span<const at::Tensor> inputs) {
  Roster& roster = impl_->roster;
  const std::size_t index = roster.index_of(name);
  roster.refresh();
  return RoleScope(roster.run_of_member(index), *roster.members()[index].role, impl_->precision,
                   roster.parameters(index), inputs, impl_->casts);
}

Outputs ModelSet::forward(std::string_view name, const Inputs& inputs, const ForwardOptions& options) {
  const RoleScope scope = enter(name, tensors_of(inputs));
  MemberRun run = scope.run();
  run.taps = options.taps;
  return member(name).run(inputs, run);
}

void ModelSet::backward(const at::Tensor& loss, RetainGraph retain) { impl_->backward(loss, retain); }

SetStep ModelSet::step() {
  for (const OptimizerRef& optimizer : impl_->roster.optimizers()) {
    LIMBECK_CHECK(!optimizer->needs_closure(),
                  "[optimize] {} evaluates the model within its step: call step(closure), whose closure calls forward "
                  "and backward and returns the loss",
                  optimizer->name());
  }
  return impl_->end_micro_batch();
}

SetStep ModelSet::step(const LossClosure& closure) {
  LIMBECK_CHECK(closure != nullptr, "[optimize] step got an empty closure");
  if (impl_->needs_closure()) return impl_->step_with_closures(closure);
  closure();
  return impl_->end_micro_batch();
}

SetStep ModelSet::finish_accumulation() {
  const int64_t done = impl_->turns.num_micro_batches() + (impl_->turns.has_fresh() ? 1 : 0);
  return done == 0 ? SetStep{} : impl_->update(done);
}

void ModelSet::zero_grad() { impl_->forget_gradients(); }

SetStep ModelSet::step(const OptimizerRef& optimizer) { return impl_->step_alone(impl_->roster.index_of(optimizer)); }

void ModelSet::zero_grad(const OptimizerRef& optimizer) {
  impl_->roster.refresh();
  impl_->forget_gradients_of(impl_->roster.index_of(optimizer));
}

void ModelSet::update_scale() { impl_->update_scale(); }

Role ModelSet::role(std::string_view name) const { return *impl_->roster.members()[impl_->roster.index_of(name)].role; }

SetMember& ModelSet::member(std::string_view name) {
  return *impl_->roster.members()[impl_->roster.index_of(name)].model;
}

Precision ModelSet::precision() const { return impl_->precision; }

int64_t ModelSet::num_weight_casts() const { return impl_->casts.num_conversions(); }

LossScaler* ModelSet::scaler() { return impl_->scaler ? &*impl_->scaler : nullptr; }

SetReport ModelSet::report() const {
  impl_->roster.refresh();
  return describe_set(impl_->roster.members(), impl_->roster.optimizers(), impl_->roster.plan(), impl_->precision);
}

ModelSet optimize(const std::vector<SetModel>& models, std::vector<OptimizerRef> optimizers, Precision precision,
                  const SetOptions& options) {
  return {models, std::move(optimizers), precision, options};
}

}  // namespace limbeck::train
