#include "limbeck/train/update.h"

#include <ATen/ops/isfinite.h>
#include <fmt/format.h>

#include "limbeck/core/error.h"

namespace limbeck::train {

UpdateDecision decide_update(std::span<const at::Tensor> gradients, const GradientTreatment& treatment) {
  const GradientStatistics statistics = gradient_statistics(gradients);
  UpdateDecision decision{.is_finite = statistics.is_finite,
                          .grad_norm = statistics.norm * treatment.factor,
                          .gradient_scale = treatment.factor};
  if (treatment.clip_norm > 0) decision.gradient_scale *= clip_factor(decision.grad_norm, treatment.clip_norm);
  return decision;
}

void fail_not_finite(const NotFinite& found) {
  fail<InvalidArgument>(
      "[{}] the {} became infinite or NaN in {}{}. Nothing was updated. {}{}Lower the learning rate or set clip_norm.",
      found.scope, found.what, found.step,
      found.parameter.empty() ? "" : fmt::format(", first in the gradient of {}", found.parameter), found.remains,
      found.remains.empty() ? "" : " ");
}

std::string first_not_finite(std::span<const NamedTensor> parameters) {
  for (const NamedTensor& parameter : parameters) {
    const at::Tensor gradient = parameter.tensor.grad();
    if (gradient.defined() && !at::isfinite(values_of(gradient)).all().item<bool>()) return parameter.name;
  }
  return {};
}

}  // namespace limbeck::train
