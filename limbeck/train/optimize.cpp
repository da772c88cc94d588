#include "limbeck/train/optimize.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/isfinite.h>
#include <c10/util/ScopeExit.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <utility>

#include "limbeck/core/error.h"
#include "limbeck/core/log.h"
#include "limbeck/model/caching_allocator.h"
#include "limbeck/train/optim/gradients.h"
#include "limbeck/train/sets/describe_set.h"
#include "limbeck/train/sets/update_plan.h"
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

/// The first parameter whose gradient is not finite.
std::string first_not_finite(const std::vector<NamedTensor>& parameters) {
  for (const NamedTensor& parameter : parameters) {
    const at::Tensor gradient = parameter.tensor.grad();
    if (gradient.defined() && !at::isfinite(gradient).all().item<bool>()) return parameter.name;
  }
  return {};
}

/// All gradients become undefined, as zero_grad(set_to_none=True) has it.
void clear_gradients(const std::vector<at::Tensor>& parameters) {
  for (const at::Tensor& parameter : parameters) parameter.mutable_grad().reset();
}

}  // namespace

void SetOptions::validate() const {
  LIMBECK_CHECK(clip_norm >= 0, "[optimize] clip_norm must be at least 0, got {}", clip_norm);
  LIMBECK_CHECK(accumulate >= 1, "[optimize] accumulate must be at least 1, got {}", accumulate);
  scaler.validate();
}

struct ModelSet::Impl {
  std::vector<Member> members;
  std::vector<OptimizerRef> optimizers;
  Precision precision;
  SetOptions options;
  std::optional<LossScaler> scaler;
  std::optional<CachingAllocatorScope> memory;
  WeightCache casts;  // of all members' weights

  std::vector<uint64_t> signature;
  std::optional<UpdatePlan> plan;                    // as of `signature`
  std::vector<std::vector<NamedTensor>> parameters;  // by member, as of `signature`
  std::vector<bool> was_warned_of;                   // by optimizer

  /// What an optimizer has of gradients.
  struct Turn {
    bool is_fresh = false;     // backward() since its last step
    bool is_spent = false;     // it stepped from them: the next backward() forgets them
    bool has_stepped = false;  // alone, since the last update_scale()
  };
  std::vector<Turn> turns;         // by optimizer
  int64_t micro_batches = 0;       // step() calls since the last update
  bool has_overflown = false;      // in a step of one optimizer since the last update_scale()
  std::vector<at::Tensor> losses;  // since the last update
  int64_t updates = 0;

  /// Ownership anew where groups or models changed.
  void refresh() {
    std::vector<uint64_t> now = plan_signature(members, optimizers);
    if (plan && now == signature) return;
    plan = plan_updates(members, optimizers);
    signature = std::move(now);
    parameters.clear();
    for (const Member& member : members) {
      parameters.push_back(member.model->parameters());
      member.model->prepare(run_of(*member.role, options.fusion));
    }
    warn_of_idle();
  }

  void warn_of_idle() {
    was_warned_of.resize(optimizers.size());
    for (std::size_t i = 0; i < optimizers.size(); ++i) {
      if (!plan->is_idle[i] || was_warned_of[i]) continue;
      was_warned_of[i] = true;
      core::log_warning("{}", idle_optimizer_warning(i, *optimizers[i]));
    }
  }

  void check_closures() const {
    for (const OptimizerRef& optimizer : optimizers) {
      if (!optimizer->needs_closure()) continue;
      LIMBECK_CHECK(options.accumulate == 1,
                    "[optimize] {} evaluates the model within its step: accumulate must be 1, got {}",
                    optimizer->name(), options.accumulate);
      if (precision == Precision::fp16) {
        fail<Unsupported>(
            "[optimize] {} evaluates the model within its step, where a loss scale can't change. Use "
            "bf16 or fp32.",
            optimizer->name());
      }
    }
  }

  std::size_t index_of(std::string_view name) const {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < members.size(); ++i) {
      if (members[i].name == name) return i;
      names.push_back(members[i].name);
    }
    fail<InvalidArgument>("[optimize] no model '{}' in the set.{}", name, nearest_hint(name, names));
  }

  std::size_t index_of(const OptimizerRef& optimizer) const {
    const auto same = [&](const OptimizerRef& own) { return own->identity() == optimizer->identity(); };
    const auto found = std::find_if(optimizers.begin(), optimizers.end(), same);
    LIMBECK_CHECK(found != optimizers.end(), "[optimize] {} is none of the {} optimizers of the set", optimizer->name(),
                  optimizers.size());
    return static_cast<std::size_t>(found - optimizers.begin());
  }

  // --- gradients -----------------------------------------------------------------------------------------------
  bool has_fresh_gradients() const {
    return std::any_of(turns.begin(), turns.end(), [](const Turn& turn) { return turn.is_fresh; });
  }

  void forget_gradients() {
    refresh();
    clear_gradients(plan->with_gradient);
    begin_next_step();
  }

  void forget_gradients_of(std::size_t optimizer) {
    for (const NamedTensor& parameter : plan->updated_by[optimizer]) parameter.tensor.mutable_grad().reset();
    turns[optimizer].is_fresh = turns[optimizer].is_spent = false;
  }

  void forget_spent_gradients() {
    if (micro_batches == 0 && !has_fresh_gradients()) return forget_gradients();
    for (std::size_t i = 0; i < turns.size(); ++i) {
      if (turns[i].is_spent) forget_gradients_of(i);
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
    for (Turn& turn : turns) turn.is_fresh = true;
  }

  // --- steps ---------------------------------------------------------------------------------------------------
  using Indices = std::vector<std::size_t>;

  /// Those that update something, in their order.
  Indices busy_optimizers() const {
    Indices busy;
    for (std::size_t i = 0; i < optimizers.size(); ++i) {
      if (!plan->is_idle[i]) busy.push_back(i);
    }
    return busy;
  }

  std::vector<at::Tensor> gradients(const Indices& which) const {
    std::vector<at::Tensor> result;
    for (const std::size_t i : which) {
      for (const NamedTensor& parameter : plan->updated_by[i]) result.push_back(parameter.tensor.grad());
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
  [[noreturn]] void fail_not_finite(const Indices& which) {
    std::string parameter;
    for (std::size_t i = 0; i < which.size() && parameter.empty(); ++i)
      parameter = first_not_finite(plan->updated_by[which[i]]);
    const std::string what = are_losses_finite() ? "gradients" : "loss";
    begin_next_step();
    fail<InvalidArgument>(
        "[optimize] the {} became infinite or NaN in step {}{}. Nothing was updated. Lower the learning rate or set "
        "clip_norm.",
        what, updates + 1, parameter.empty() ? "" : fmt::format(", first in the gradient of {}", parameter));
  }

  /// What the gradients of these optimizers, times `factor`, allow.
  UpdateDecision decide(const Indices& which, double factor) const {
    UpdateDecision decision = decide_update(gradients(which), {.factor = factor, .clip_norm = options.clip_norm});
    decision.is_finite = decision.is_finite && are_losses_finite();
    return decision;
  }

  /// Whatever way an optimizer writes them.
  void forget_casts(std::size_t i) {
    for (const NamedTensor& parameter : plan->updated_by[i]) casts.forget(parameter.tensor);
  }

  void step_one(std::size_t i, double gradient_scale) {
    forget_casts(i);
    if (optimizers[i]->step_scaled(gradient_scale)) return;
    if (gradient_scale != 1) scale_gradients(gradients_of(plan->updated_by[i]), gradient_scale);
    optimizers[i]->step({});
  }

  void step_all(const Indices& which, double gradient_scale) {
    const HiddenGradients hidden(plan->untouchable);
    for (const std::size_t i : which) {
      try {
        step_one(i, gradient_scale);
      } catch (const std::exception&) {
        optimizers[i]->rethrow_with(half_made_step_note(updates + 1, optimizers, which, i));
      }
    }
    ++updates;
  }

  /// Updates from the gradients of `num_micro_batches`, whose losses were weighted for options.accumulate of them.
  /// However it ends, the next backward() starts afresh.
  SetStep update(int64_t num_micro_batches) {
    const auto end = c10::make_scope_exit([this] { begin_next_step(); });
    refresh();
    const double weight = static_cast<double>(options.accumulate) / static_cast<double>(num_micro_batches);
    const Indices which = busy_optimizers();
    const UpdateDecision decision = decide(which, weight / (scaler ? scaler->scale() : 1.0));
    if (!decision.is_finite && !scaler) fail_not_finite(which);
    if (scaler) end_iteration(has_overflown || !decision.is_finite);
    if (!decision.is_finite) return {.is_skipped = true};
    step_all(which, decision.gradient_scale);
    return {.is_updated = true, .grad_norm = decision.grad_norm};
  }

  /// Gradients stay readable; the next backward() forgets them.
  void begin_next_step() {
    micro_batches = 0;
    for (Turn& turn : turns) turn.is_fresh = turn.is_spent = false;
    losses.clear();
  }

  void end_iteration(bool is_overflow) {
    for (Turn& turn : turns) turn.has_stepped = false;
    has_overflown = false;
    scaler->update(is_overflow);
  }

  SetStep end_micro_batch() {
    LIMBECK_CHECK(has_fresh_gradients(),
                  "[optimize] step() without a backward() of the set before it: call set.backward(loss), not "
                  "loss.backward()");
    for (Turn& turn : turns) turn.is_fresh = false;
    if (++micro_batches < options.accumulate) return {};
    return update(micro_batches);
  }

  // --- one optimizer at a time -----------------------------------------------------------------------------------
  void check_turn(std::size_t i) const {
    const std::string name = optimizers[i]->name();
    LIMBECK_CHECK(!optimizers[i]->needs_closure(), "[optimize] {} needs a closure: call step(closure)", name);
    LIMBECK_CHECK(options.accumulate == 1,
                  "[optimize] a step of {} alone updates at once: accumulate must be 1, got {}. Call backward() for "
                  "each micro-batch with its share of the loss, then step.",
                  name, options.accumulate);
    LIMBECK_CHECK(turns[i].is_fresh, "[optimize] step of {} without a backward() of the set since its last", name);
    LIMBECK_CHECK(!scaler || !turns[i].has_stepped,
                  "[optimize] {} has stepped since the last update_scale(): call it once an iteration, after the steps "
                  "of all optimizers",
                  name);
  }

  SetStep step_alone(std::size_t i) {
    refresh();
    if (plan->is_idle[i]) return {};
    check_turn(i);
    const Indices which{i};
    const UpdateDecision decision = decide(which, 1 / (scaler ? scaler->scale() : 1.0));
    if (!decision.is_finite && !scaler) fail_not_finite(which);
    turns[i] = {.is_fresh = false, .is_spent = true, .has_stepped = true};
    losses.clear();
    if (!decision.is_finite) {
      has_overflown = true;
      return {.is_skipped = true};
    }
    step_all(which, decision.gradient_scale);
    return {.is_updated = true, .grad_norm = decision.grad_norm};
  }

  void update_scale() {
    if (!scaler) return;
    LIMBECK_CHECK(std::any_of(turns.begin(), turns.end(), [](const Turn& turn) { return turn.has_stepped; }),
                  "[optimize] update_scale() without a step(optimizer) since the last one: step() of all optimizers "
                  "updates the scale by itself");
    end_iteration(has_overflown);
  }

  // --- closures --------------------------------------------------------------------------------------------------
  /// Runs the user's closure and makes its gradients ready for an optimizer. Returns the loss; sets `norm`.
  at::Tensor evaluate(const LossClosure& closure, double& norm) {
    begin_next_step();
    for (const std::size_t i : busy_optimizers()) forget_casts(i);
    const at::AutoGradMode on(true);
    const at::Tensor loss = closure();
    LIMBECK_CHECK(has_fresh_gradients(), "[optimize] the closure of step() must call backward() of the set");
    const Indices which = busy_optimizers();
    const UpdateDecision decision = decide(which, 1);
    if (!decision.is_finite) fail_not_finite(which);
    if (decision.gradient_scale != 1) scale_gradients(gradients(which), decision.gradient_scale);
    norm = decision.grad_norm;
    return loss;
  }

  bool needs_closure() const {
    return std::any_of(optimizers.begin(), optimizers.end(),
                       [](const OptimizerRef& optimizer) { return optimizer->needs_closure(); });
  }

  SetStep step_with_closures(const LossClosure& closure) {
    refresh();
    RestoredWeights weights(plan->updated);
    const HiddenGradients hidden(plan->untouchable);
    double norm = 0;
    bool is_evaluated = false;
    for (const bool with_closure : {false, true}) {
      for (std::size_t i = 0; i < optimizers.size(); ++i) {
        if (plan->is_idle[i] || optimizers[i]->needs_closure() != with_closure) continue;
        if (!with_closure && !std::exchange(is_evaluated, true)) evaluate(closure, norm);
        optimizers[i]->step(with_closure ? LossClosure([&] { return evaluate(closure, norm); }) : LossClosure());
      }
    }
    weights.keep();
    begin_next_step();
    ++updates;
    return {.is_updated = true, .grad_norm = norm};
  }
};

ModelSet::ModelSet(std::vector<SetModel> models, std::vector<OptimizerRef> optimizers, Precision precision,
                   const SetOptions& options)
    : impl_(std::make_unique<Impl>()) {
  options.validate();
  impl_->members = members_of(models);
  impl_->optimizers = std::move(optimizers);
  impl_->precision = precision;
  impl_->options = options;
  if (options.freed_memory == FreedMemory::kept) impl_->memory.emplace();
  if (precision == Precision::fp16) impl_->scaler.emplace(options.scaler);
  impl_->turns.resize(impl_->optimizers.size());
  impl_->check_closures();
  impl_->refresh();
}

ModelSet::~ModelSet() = default;
ModelSet::ModelSet(ModelSet&&) noexcept = default;
ModelSet& ModelSet::operator=(ModelSet&&) noexcept = default;

RoleScope ModelSet::enter(std::string_view name, std::span<const at::Tensor> inputs) {
  const std::size_t index = impl_->index_of(name);
  impl_->refresh();
  const MemberRun run = run_of(*impl_->members[index].role, impl_->options.fusion);
  return RoleScope(run, *impl_->members[index].role, impl_->precision, impl_->parameters[index], inputs, impl_->casts);
}

Outputs ModelSet::forward(std::string_view name, const Inputs& inputs, const ForwardOptions& options) {
  const RoleScope scope = enter(name, tensors_of(inputs));
  MemberRun run = scope.run();
  run.taps = options.taps;
  return member(name).run(inputs, run);
}

void ModelSet::backward(const at::Tensor& loss, RetainGraph retain) { impl_->backward(loss, retain); }

SetStep ModelSet::step() {
  for (const OptimizerRef& optimizer : impl_->optimizers) {
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
  const int64_t done = impl_->micro_batches + (impl_->has_fresh_gradients() ? 1 : 0);
  return done == 0 ? SetStep{} : impl_->update(done);
}

void ModelSet::zero_grad() { impl_->forget_gradients(); }

SetStep ModelSet::step(const OptimizerRef& optimizer) { return impl_->step_alone(impl_->index_of(optimizer)); }

void ModelSet::zero_grad(const OptimizerRef& optimizer) {
  impl_->refresh();
  impl_->forget_gradients_of(impl_->index_of(optimizer));
}

void ModelSet::update_scale() { impl_->update_scale(); }

Role ModelSet::role(std::string_view name) const { return *impl_->members[impl_->index_of(name)].role; }

SetMember& ModelSet::member(std::string_view name) { return *impl_->members[impl_->index_of(name)].model; }

Precision ModelSet::precision() const { return impl_->precision; }

int64_t ModelSet::num_weight_casts() const { return impl_->casts.num_conversions(); }

LossScaler* ModelSet::scaler() { return impl_->scaler ? &*impl_->scaler : nullptr; }

SetReport ModelSet::report() const {
  impl_->refresh();
  return describe_set(impl_->members, impl_->optimizers, *impl_->plan, impl_->precision);
}

ModelSet optimize(std::vector<SetModel> models, std::vector<OptimizerRef> optimizers, Precision precision,
                  const SetOptions& options) {
  return {std::move(models), std::move(optimizers), precision, options};
}

}  // namespace limbeck::train
