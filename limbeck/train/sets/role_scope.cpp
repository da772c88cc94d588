#include "limbeck/train/sets/role_scope.h"

#include <ATen/autocast_mode.h>

#include <algorithm>
#include <utility>

namespace limbeck::train {

namespace {

/// Whether a run records gradients: of a trained model always, of another one for an input that requires them.
bool records(const Role& role, std::span<const at::Tensor> inputs) {
  if (!c10::GradMode::is_enabled()) return false;
  return role.is_trained() || std::any_of(inputs.begin(), inputs.end(),
                                          [](const at::Tensor& x) { return x.defined() && x.requires_grad(); });
}

c10::DeviceType device_of(std::span<const NamedTensor> parameters, std::span<const at::Tensor> inputs) {
  if (!parameters.empty()) return parameters.front().tensor.device().type();
  const auto defined = std::find_if(inputs.begin(), inputs.end(), [](const at::Tensor& x) { return x.defined(); });
  return defined == inputs.end() ? c10::DeviceType::CPU : defined->device().type();
}

}  // namespace

MemberRun run_of(const Role& role, Fusion fusion) {
  const bool is_train_mode = role.kind != Role::Kind::eval;
  const bool writes = role.kind == Role::Kind::train || (is_train_mode && role.buffers == Buffers::update);
  return {.mode = is_train_mode ? graph::Mode::train : graph::Mode::eval,
          .state_updates = writes ? StateUpdates::apply : StateUpdates::discard,
          .fusion = is_train_mode ? fusion : Fusion::none};
}

AutocastCacheMode::AutocastCacheMode(bool enabled) : previous_(at::autocast::is_autocast_cache_enabled()) {
  at::autocast::set_autocast_cache_enabled(enabled);
}

AutocastCacheMode::~AutocastCacheMode() { at::autocast::set_autocast_cache_enabled(previous_); }

void FrozenParameters::add(const at::Tensor& parameter) {
  if (!parameter.requires_grad()) return;
  tensors_.push_back(parameter);
  parameter.set_requires_grad(false);
}

FrozenParameters::~FrozenParameters() {
  for (const at::Tensor& parameter : tensors_) parameter.set_requires_grad(true);
}

// A weight that was cast without gradients must not come from the cache where a trained model shares it.
RoleScope::RoleScope(MemberRun run, const Role& role, Precision precision, std::span<const NamedTensor> parameters,
                     std::span<const at::Tensor> inputs, WeightCache& weights)
    : run_(std::move(run)),
      gradients_(records(role, inputs)),
      cache_(c10::GradMode::is_enabled() && at::autocast::is_autocast_cache_enabled()) {
  if (precision != Precision::fp32) {
    autocast_.emplace(autocast_dtype(precision), device_of(parameters, inputs));
    weights_.emplace(weights);
  }
  if (role.is_trained() || !c10::GradMode::is_enabled()) return;
  for (const NamedTensor& parameter : parameters) frozen_.add(parameter.tensor);
}

}  // namespace limbeck::train
