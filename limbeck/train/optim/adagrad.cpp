#include "limbeck/train/optim/adagrad.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "limbeck/core/error.h"
#include "limbeck/train/optim/update_checks.h"

namespace limbeck::train {

namespace {

void prepare(AdagradTensors& item, const AdagradRule& rule) {
  const UpdateSite site{.rule = "adagrad", .parameter = item.name};
  check_gradient(site, item.parameter, item.gradient);
  check_state(site, "sum", item.parameter, item.sum);
  LIMBECK_CHECK(item.step >= 0, "{} has made {} steps", site.to_string(), item.step);
  if (!item.sum.defined()) item.sum = at::full_like(item.parameter, rule.initial_accumulator);
  ++item.step;
}

void step_by_operators(AdagradTensors& item, const AdagradRule& rule, double gradient_scale) {
  at::Tensor gradient = item.gradient * (rule.maximize ? -gradient_scale : gradient_scale);
  gradient.add_(item.parameter, rule.weight_decay);
  item.sum.addcmul_(gradient, gradient);
  const double rate = rule.lr / (1 + static_cast<double>(item.step - 1) * rule.lr_decay);
  item.parameter.addcdiv_(gradient, item.sum.sqrt().add_(rule.eps), -rate);
}

}  // namespace

void AdagradRule::validate() const {
  check_at_least_zero("adagrad", "lr", lr);
  check_at_least_zero("adagrad", "lr_decay", lr_decay);
  check_at_least_zero("adagrad", "weight_decay", weight_decay);
  check_at_least_zero("adagrad", "initial_accumulator", initial_accumulator);
  check_at_least_zero("adagrad", "eps", eps);
}

void adagrad_step(std::span<AdagradTensors> tensors, const AdagradRule& rule, double gradient_scale) {
  const at::NoGradGuard no_grad;
  rule.validate();
  for (AdagradTensors& item : tensors) {
    if (!item.gradient.defined()) continue;
    prepare(item, rule);
    step_by_operators(item, rule, gradient_scale);
  }
}

}  // namespace limbeck::train
