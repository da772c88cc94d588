#include "limbeck/train/optim/optimizer_options.h"

#include <fmt/ranges.h>

#include <array>

#include "limbeck/core/error.h"
#include "limbeck/train/optim/rules/update_checks.h"

namespace limbeck::train {

namespace {

constexpr std::array<std::string_view, 6> kNames = {"sgd", "adamw", "adam", "adagrad", "lamb", "lars"};

template <class T>
void take(T& value, const std::optional<T>& override_value) {
  if (override_value) value = *override_value;
}

}  // namespace

std::string_view optimizer_name(OptimizerKind kind) { return kNames.at(static_cast<std::size_t>(kind)); }

OptimizerKind parse_optimizer(std::string_view name) {
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<OptimizerKind>(i);
  }
  fail<InvalidArgument>("[optimizer] '{}' does not exist. Use one of {}.", name, fmt::join(kNames, ", "));
}

void OptimizerOptions::validate() const {
  check_at_least_zero("optimizer", "lr", lr);
  check_at_least_zero("optimizer", "weight_decay", weight_decay);
  check_fraction("optimizer", "momentum", momentum);
  check_fraction("optimizer", "dampening", dampening);
  LIMBECK_CHECK(!nesterov || (momentum > 0 && dampening == 0),
                "[optimizer] nesterov needs a momentum above 0 and no dampening, got {} and {}", momentum, dampening);
  check_fraction("optimizer", "beta1", beta1);
  check_fraction("optimizer", "beta2", beta2);
  LIMBECK_CHECK(eps > 0, "[optimizer] eps must be above 0, got {}", eps);
  check_at_least_zero("optimizer", "adagrad.lr_decay", adagrad.lr_decay);
  check_at_least_zero("optimizer", "adagrad.initial_accumulator", adagrad.initial_accumulator);
  LIMBECK_CHECK(layerwise.trust_coefficient > 0, "[optimizer] layerwise.trust_coefficient must be above 0, got {}",
                layerwise.trust_coefficient);
  LIMBECK_CHECK(master_weights == MasterWeights::none || kind == OptimizerKind::sgd,
                "[optimizer] split_bf16 is there for sgd alone, not for {}", optimizer_name(kind));
}

OptimizerOptions with_overrides(const OptimizerOptions& options, const GroupOptions& group) {
  OptimizerOptions result = options;
  result.groups.clear();
  take(result.lr, group.lr);
  take(result.weight_decay, group.weight_decay);
  take(result.momentum, group.momentum);
  take(result.beta1, group.beta1);
  take(result.beta2, group.beta2);
  take(result.eps, group.eps);
  take(result.layerwise.adaptation, group.adaptation);
  return result;
}

}  // namespace limbeck::train
