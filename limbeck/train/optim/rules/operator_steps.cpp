#include "limbeck/train/optim/rules/operator_steps.h"

#include <ATen/ATen.h>

#include <cmath>

namespace limbeck::train {

double trust_ratio(double parameter_norm, double step_norm) {
  return parameter_norm > 0 && step_norm > 0 ? parameter_norm / step_norm : 1;
}

double layer_ratio(const LarsRule& rule, double parameter_norm, double gradient_norm) {
  if (parameter_norm == 0 || gradient_norm == 0) return 1;
  return rule.trust_coefficient * parameter_norm / (gradient_norm + rule.weight_decay * parameter_norm);
}

double rate_of(const AdagradRule& rule, int64_t step) {
  return rule.lr / (1 + static_cast<double>(step - 1) * rule.lr_decay);
}

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

void step_by_operators(AdagradTensors& item, const AdagradRule& rule, double gradient_scale) {
  at::Tensor gradient = item.gradient * (rule.maximize ? -gradient_scale : gradient_scale);
  gradient.add_(item.parameter, rule.weight_decay);
  item.sum.addcmul_(gradient, gradient);
  item.parameter.addcdiv_(gradient, item.sum.sqrt().add_(rule.eps), -rate_of(rule, item.step));
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

void step_by_operators(LarsTensors& item, const LarsRule& rule, double gradient_scale) {
  at::Tensor gradient = item.gradient * (rule.maximize ? -gradient_scale : gradient_scale);
  const double ratio = is_adapted(rule.adaptation, item.parameter)
                           ? layer_ratio(rule, item.parameter.norm().item<double>(), gradient.norm().item<double>())
                           : 1;
  gradient.add_(item.parameter, rule.weight_decay);
  item.momentum_buffer.mul_(rule.momentum).add_(gradient, rule.lr * ratio);
  item.parameter.sub_(item.momentum_buffer);
}

}  // namespace limbeck::train
