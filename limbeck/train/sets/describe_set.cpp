#include "limbeck/train/sets/describe_set.h"

#include <fmt/ranges.h>

#include <algorithm>

namespace limbeck::train {

namespace {

/// One parameter of one member, as its model knows it.
void add_parameter(ModelReport& report, const MappedTensor& mapped, const Place& place,
                   const std::vector<Member>& members) {
  ++report.parameters;
  const bool requires_grad = mapped.tensor.requires_grad();
  if (!requires_grad) ++report.frozen;
  if (requires_grad && mapped.optimizer && is_trained(mapped, members)) ++report.trained;
  if (requires_grad && !mapped.optimizer && report.role.is_trained()) report.unowned.push_back(place.name);
  for (const Place& other : mapped.places) {
    if (other.member == place.member) continue;
    report.shared.push_back(fmt::format("'{}' with '{}'", place.name, members[other.member].name));
  }
}

ModelReport describe_member(std::size_t index, const std::vector<Member>& members, const UpdatePlan& plan,
                            Precision precision) {
  const Member& member = members[index];
  ModelReport report{.name = member.name,
                     .type = member.model->type(),
                     .role = *member.role,
                     .role_reason = member.role_reason,
                     .notes = member.model->notes(precision)};
  for (const MappedTensor& mapped : plan.map.tensors()) {
    for (const Place& place : mapped.places) {
      if (place.member == index && !place.is_buffer) add_parameter(report, mapped, place, members);
    }
  }
  return report;
}

void add_once(std::vector<std::string>& names, const std::string& name) {
  if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
}

OptimizerReport describe_optimizer(std::size_t index, const OptimizerAdapter& optimizer,
                                   const std::vector<Member>& members, const UpdatePlan& plan) {
  const StepSupport support = optimizer.support();
  OptimizerReport report{.type = optimizer.name(),
                         .groups = static_cast<int64_t>(optimizer.groups().size()),
                         .is_fused = support.is_fused,
                         .reason = support.reason,
                         .is_idle = plan.is_idle[index]};
  for (const MappedTensor& mapped : plan.map.tensors()) {
    if (mapped.optimizer != index) continue;
    ++report.parameters;
    for (const at::Tensor& state : optimizer.state_of(mapped.tensor)) {
      if (state.defined()) report.state_bytes += static_cast<int64_t>(state.nbytes());
    }
    if (!is_trained(mapped, members)) {
      ++report.of_frozen_models;
    } else if (!mapped.tensor.requires_grad()) {
      ++report.frozen;
    }
    for (const Place& place : mapped.places) add_once(report.models, members[place.member].name);
  }
  return report;
}

}  // namespace

std::string idle_optimizer_warning(std::size_t index, const OptimizerAdapter& optimizer) {
  return fmt::format(
      "[optimize] optimizer {} ({}) owns no parameter of a model with the role train: it updates nothing, "
      "and is not needed",
      index, optimizer.name());
}

SetReport describe_set(const std::vector<Member>& members, const std::vector<OptimizerRef>& optimizers,
                       const UpdatePlan& plan, Precision precision) {
  SetReport report{.precision = precision, .precision_note = describe_precision(precision)};
  for (std::size_t i = 0; i < members.size(); ++i) {
    report.models.push_back(describe_member(i, members, plan, precision));
  }
  for (std::size_t i = 0; i < optimizers.size(); ++i) {
    report.optimizers.push_back(describe_optimizer(i, *optimizers[i], members, plan));
    if (plan.is_idle[i]) report.warnings.push_back(idle_optimizer_warning(i, *optimizers[i]));
  }
  return report;
}

std::string half_made_step_note(int64_t step, const std::vector<OptimizerRef>& optimizers,
                                const std::vector<std::size_t>& which, std::size_t failed) {
  const auto name = [&](std::size_t i) { return fmt::format("optimizer {} ({})", i, optimizers[i]->name()); };
  std::vector<std::string> before, after;
  bool is_reached = false;
  for (const std::size_t i : which) {
    if (i == failed) is_reached = true;
    if (i != failed) (is_reached ? after : before).push_back(name(i));
  }
  const auto list = [](const std::vector<std::string>& names) {
    return names.empty() ? std::string("none") : fmt::format("{}", fmt::join(names, ", "));
  };
  return fmt::format(
      "[optimize] step {} failed in {}, whose parameters and state may be updated in part. Updated before it: {}. Not "
      "updated: {}. Go on from a checkpoint, or from these weights with the next step.",
      step, name(failed), list(before), list(after));
}

}  // namespace limbeck::train
