#include "limbeck/train/optim/lamb.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>

#include "limbeck/core/error.h"
#include "limbeck/train/optim/update_checks.h"

namespace limbeck::train {

namespace {

double trust_ratio(double parameter_norm, double step_norm) {
  return parameter_norm > 0 && step_norm > 0 ? parameter_norm / step_norm : 1;
}

void prepare(LambTensors& item) {
  const UpdateSite site{.rule = "lamb", .parameter = item.name};
  check_gradient(site, item.parameter, item.gradient);
  check_state(site, "exp_avg", item.parameter, item.exp_avg);
  check_state(site, "exp_avg_sq", item.parameter, item.exp_avg_sq);
  LIMBECK_CHECK(item.step >= 0, "{} has made {} steps", site.to_string(), item.step);
  if (!item.exp_avg.defined()) item.exp_avg = at::zeros_like(item.parameter);
  if (!item.exp_avg_sq.defined()) item.exp_avg_sq = at::zeros_like(item.parameter);
  ++item.step;
}

void step_by_operators(LambTensors& item, const LambRule& rule, double gradient_scale) {
  const at::Tensor gradient = item.gradient * (rule.maximize ? -gradient_scale : gradient_scale);
  item.exp_avg.lerp_(gradient, 1 - rule.beta1);
  item.exp_avg_sq.mul_(rule.beta2).addcmul_(gradient, gradient, 1 - rule.beta2);
  const auto step = static_cast<double>(item.step);
  const at::Tensor divisor = item.exp_avg_sq.sqrt().div_(std::sqrt(1 - std::pow(rule.beta2, step))).add_(rule.eps);
  at::Tensor direction = item.exp_avg.div(divisor).div_(1 - std::pow(rule.beta1, step));
  direction.add_(item.parameter, rule.weight_decay);
  const double ratio = is_adapted(rule.adaptation, item.parameter)
                           ? trust_ratio(item.parameter.norm().item<double>(), direction.norm().item<double>())
                           : 1;
  item.parameter.add_(direction, -rule.lr * ratio);
}

}  // namespace

void LambRule::validate() const {
  check_at_least_zero("lamb", "lr", lr);
  check_fraction("lamb", "beta1", beta1);
  check_fraction("lamb", "beta2", beta2);
  check_at_least_zero("lamb", "eps", eps);
  check_at_least_zero("lamb", "weight_decay", weight_decay);
}

void lamb_step(std::span<LambTensors> tensors, const LambRule& rule, double gradient_scale) {
  const at::NoGradGuard no_grad;
  rule.validate();
  for (LambTensors& item : tensors) {
    if (!item.gradient.defined()) continue;
    prepare(item);
    step_by_operators(item, rule, gradient_scale);
  }
}

}  // namespace limbeck::train
