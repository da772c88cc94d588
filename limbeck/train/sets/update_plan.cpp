#include "limbeck/train/sets/update_plan.h"

#include <ATen/core/grad_mode.h>

#include <cstdint>
#include <utility>

namespace limbeck::train {

UpdatePlan plan_updates(std::vector<Member>& members, const std::vector<OptimizerRef>& optimizers) {
  UpdatePlan plan{.map = TensorMap(members),
                  .updated = {},
                  .with_gradient = {},
                  .untouchable = {},
                  .updated_by = std::vector<std::vector<NamedTensor>>(optimizers.size()),
                  .is_idle = std::vector<bool>(optimizers.size(), true)};
  claim_parameters(plan.map, optimizers);
  resolve_roles(members, plan.map);
  check_roles(members, plan.map);
  for (const MappedTensor& mapped : plan.map.tensors()) {
    const bool trained = is_trained(mapped, members);
    if (trained) plan.with_gradient.push_back(mapped.tensor);
    if (!mapped.optimizer) continue;
    if (trained) plan.is_idle[*mapped.optimizer] = false;
    if (trained && mapped.tensor.requires_grad()) {
      plan.updated.push_back({plan.map.describe(mapped), mapped.tensor});
      plan.updated_by[*mapped.optimizer].push_back(plan.updated.back());
    } else {
      plan.untouchable.push_back(mapped.tensor);
    }
  }
  return plan;
}

std::vector<uint64_t> plan_signature(const std::vector<Member>& members, const std::vector<OptimizerRef>& optimizers) {
  std::vector<uint64_t> signature;
  signature.reserve(members.size());
  for (const Member& member : members) signature.push_back(member.model->revision());
  for (const OptimizerRef& optimizer : optimizers) {
    for (const ParameterGroup& group : optimizer->groups()) {
      for (const at::Tensor& parameter : group.parameters) {
        const auto identity = reinterpret_cast<uintptr_t>(parameter.unsafeGetTensorImpl());
        signature.push_back(identity | (parameter.requires_grad() ? 1U : 0U));  // TensorImpl is aligned: bit 0 is free
      }
    }
    signature.push_back(0);  // between optimizers
  }
  return signature;
}

HiddenGradients::HiddenGradients(const std::vector<at::Tensor>& parameters) {
  for (const at::Tensor& parameter : parameters) {
    if (!parameter.grad().defined()) continue;
    hidden_.emplace_back(parameter, parameter.grad());
    parameter.mutable_grad().reset();
  }
}

HiddenGradients::~HiddenGradients() {
  for (const auto& [parameter, gradient] : hidden_) parameter.mutable_grad() = gradient;
}

RestoredWeights::RestoredWeights(const std::vector<NamedTensor>& parameters) {
  for (const NamedTensor& parameter : parameters)
    saved_.emplace_back(parameter.tensor, parameter.tensor.detach().clone());
}

RestoredWeights::~RestoredWeights() {
  const at::NoGradGuard no_grad;
  for (const auto& [parameter, values] : saved_) parameter.copy_(values);
}

}  // namespace limbeck::train
