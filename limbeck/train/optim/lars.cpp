#include "limbeck/train/optim/lars.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>

#include "limbeck/core/error.h"
#include "limbeck/train/optim/update_checks.h"

namespace limbeck::train {

namespace {

double layer_ratio(const LarsRule& rule, double parameter_norm, double gradient_norm) {
  if (parameter_norm == 0 || gradient_norm == 0) return 1;
  return rule.trust_coefficient * parameter_norm / (gradient_norm + rule.weight_decay * parameter_norm);
}

void prepare(LarsTensors& item) {
  const UpdateSite site{.rule = "lars", .parameter = item.name};
  check_gradient(site, item.parameter, item.gradient);
  check_state(site, "momentum_buffer", item.parameter, item.momentum_buffer);
  if (!item.momentum_buffer.defined()) item.momentum_buffer = at::zeros_like(item.parameter);
}

void step_by_operators(LarsTensors& item, const LarsRule& rule, double gradient_scale) {
  at::Tensor gradient = item.gradient * (rule.maximize ? -gradient_scale : gradient_scale);
  const double ratio = is_adapted(rule.adaptation, item.parameter)
                           ? layer_ratio(rule, item.parameter.norm().item<double>(), gradient.norm().item<double>())
                           : 1;
  gradient.add_(item.parameter, rule.weight_decay);
  item.momentum_buffer.mul_(rule.momentum).add_(gradient, rule.lr * ratio);
  item.parameter.sub_(item.momentum_buffer);
}

}  // namespace

void LarsRule::validate() const {
  check_at_least_zero("lars", "lr", lr);
  check_fraction("lars", "momentum", momentum);
  check_at_least_zero("lars", "weight_decay", weight_decay);
  LIMBECK_CHECK(trust_coefficient > 0, "[lars] trust_coefficient must be above 0, got {}", trust_coefficient);
}

void lars_step(std::span<LarsTensors> tensors, const LarsRule& rule, double gradient_scale) {
  const at::NoGradGuard no_grad;
  rule.validate();
  for (LarsTensors& item : tensors) {
    if (!item.gradient.defined()) continue;
    prepare(item);
    step_by_operators(item, rule, gradient_scale);
  }
}

}  // namespace limbeck::train
