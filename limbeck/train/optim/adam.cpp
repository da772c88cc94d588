#include "limbeck/train/optim/adam.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>

#include "limbeck/core/error.h"
#include "limbeck/train/optim/update_checks.h"

namespace limbeck::train {

namespace {

void prepare(AdamTensors& item, const AdamRule& rule) {
  const UpdateSite site{.rule = "adam", .parameter = item.name};
  check_gradient(site, item.parameter, item.gradient);
  check_state(site, "exp_avg", item.parameter, item.exp_avg);
  check_state(site, "exp_avg_sq", item.parameter, item.exp_avg_sq);
  check_state(site, "max_exp_avg_sq", item.parameter, item.max_exp_avg_sq);
  LIMBECK_CHECK(item.step >= 0, "{} has made {} steps", site.to_string(), item.step);
  if (!item.exp_avg.defined()) item.exp_avg = at::zeros_like(item.parameter);
  if (!item.exp_avg_sq.defined()) item.exp_avg_sq = at::zeros_like(item.parameter);
  if (rule.amsgrad && !item.max_exp_avg_sq.defined()) item.max_exp_avg_sq = at::zeros_like(item.parameter);
  ++item.step;
}

void step_by_operators(AdamTensors& item, const AdamRule& rule, double gradient_scale) {
  at::Tensor gradient = item.gradient * (rule.maximize ? -gradient_scale : gradient_scale);
  if (rule.decay == AdamDecay::l2) {
    gradient.add_(item.parameter, rule.weight_decay);
  } else {
    item.parameter.mul_(1 - rule.lr * rule.weight_decay);
  }
  item.exp_avg.lerp_(gradient, 1 - rule.beta1);
  item.exp_avg_sq.mul_(rule.beta2).addcmul_(gradient, gradient, 1 - rule.beta2);
  if (rule.amsgrad) at::maximum_out(item.max_exp_avg_sq, item.max_exp_avg_sq, item.exp_avg_sq);
  const at::Tensor& second = rule.amsgrad ? item.max_exp_avg_sq : item.exp_avg_sq;
  const auto step = static_cast<double>(item.step);
  const at::Tensor divisor = second.sqrt().div_(std::sqrt(1 - std::pow(rule.beta2, step))).add_(rule.eps);
  item.parameter.addcdiv_(item.exp_avg, divisor, -rule.lr / (1 - std::pow(rule.beta1, step)));
}

}  // namespace

void AdamRule::validate() const {
  check_at_least_zero("adam", "lr", lr);
  check_fraction("adam", "beta1", beta1);
  check_fraction("adam", "beta2", beta2);
  check_at_least_zero("adam", "eps", eps);
  check_at_least_zero("adam", "weight_decay", weight_decay);
}

void adam_step(std::span<AdamTensors> tensors, const AdamRule& rule, double gradient_scale) {
  const at::NoGradGuard no_grad;
  rule.validate();
  for (AdamTensors& item : tensors) {
    if (!item.gradient.defined()) continue;
    prepare(item, rule);
    step_by_operators(item, rule, gradient_scale);
  }
}

}  // namespace limbeck::train
