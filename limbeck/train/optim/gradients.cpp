#include "limbeck/train/optim/gradients.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>

namespace limbeck::train {

namespace {

std::vector<at::Tensor> defined_ones(std::span<const at::Tensor> gradients) {
  std::vector<at::Tensor> result;
  for (const at::Tensor& gradient : gradients) {
    if (gradient.defined()) result.push_back(gradient);
  }
  return result;
}

}  // namespace

GradientStatistics gradient_statistics(std::span<const at::Tensor> gradients) {
  const at::NoGradGuard no_grad;
  const std::vector<at::Tensor> defined = defined_ones(gradients);
  if (defined.empty()) return {};
  double sum = 0;
  for (const at::Tensor& norm : at::_foreach_norm(defined, 2)) sum += std::pow(norm.item<double>(), 2);
  return {.norm = std::sqrt(sum), .is_finite = std::isfinite(sum)};
}

void scale_gradients(std::span<const at::Tensor> gradients, double factor) {
  const at::NoGradGuard no_grad;
  const std::vector<at::Tensor> defined = defined_ones(gradients);
  if (!defined.empty()) at::_foreach_mul_(defined, factor);
}

double clip_factor(double norm, double max_norm) { return std::min(max_norm / (norm + 1e-6), 1.0); }

std::vector<at::Tensor> gradients_of(std::span<const NamedTensor> parameters) {
  std::vector<at::Tensor> gradients;
  for (const NamedTensor& parameter : parameters) gradients.push_back(parameter.tensor.grad());
  return gradients;
}

double grad_norm(const std::vector<NamedTensor>& parameters) {
  return gradient_statistics(gradients_of(parameters)).norm;
}

double clip_grad_norm(const std::vector<NamedTensor>& parameters, double max_norm) {
  const std::vector<at::Tensor> gradients = gradients_of(parameters);
  const double norm = gradient_statistics(gradients).norm;
  const double factor = clip_factor(norm, max_norm);
  if (factor < 1) scale_gradients(gradients, factor);
  return norm;
}

}  // namespace limbeck::train
