#include "limbeck/train/optim/sgd.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "limbeck/core/error.h"
#include "limbeck/train/optim/update_checks.h"

namespace limbeck::train {

namespace {

void step_by_operators(SgdTensors& item, const SgdRule& rule, double gradient_scale) {
  at::Tensor gradient = item.gradient * (rule.maximize ? -gradient_scale : gradient_scale);
  gradient.add_(item.parameter, rule.weight_decay);
  if (rule.momentum == 0) {
    item.parameter.add_(gradient, -rule.lr);
    return;
  }
  if (item.momentum_buffer.defined()) {
    item.momentum_buffer.mul_(rule.momentum).add_(gradient, 1 - rule.dampening);
  } else {
    item.momentum_buffer = at::empty_like(item.parameter).copy_(gradient);
  }
  const at::Tensor direction =
      rule.nesterov ? gradient.add_(item.momentum_buffer, rule.momentum) : item.momentum_buffer;
  item.parameter.add_(direction, -rule.lr);
}

}  // namespace

void SgdRule::validate() const {
  check_at_least_zero("sgd", "lr", lr);
  check_at_least_zero("sgd", "momentum", momentum);
  check_at_least_zero("sgd", "weight_decay", weight_decay);
  LIMBECK_CHECK(!nesterov || (momentum > 0 && dampening == 0),
                "[sgd] nesterov needs a momentum above 0 and dampening 0, got {} and {}", momentum, dampening);
}

void sgd_step(std::span<SgdTensors> tensors, const SgdRule& rule, double gradient_scale) {
  const at::NoGradGuard no_grad;
  rule.validate();
  for (SgdTensors& item : tensors) {
    if (!item.gradient.defined()) continue;
    const UpdateSite site{.rule = "sgd", .parameter = item.name};
    check_gradient(site, item.parameter, item.gradient);
    check_state(site, "momentum_buffer", item.parameter, item.momentum_buffer);
    step_by_operators(item, rule, gradient_scale);
  }
}

}  // namespace limbeck::train
