#include "limbeck/train/update.h"

#include "limbeck/train/optim/gradients.h"

namespace limbeck::train {

UpdateDecision decide_update(std::span<const at::Tensor> gradients, const GradientTreatment& treatment) {
  const GradientStatistics statistics = gradient_statistics(gradients);
  UpdateDecision decision{.is_finite = statistics.is_finite,
                          .grad_norm = statistics.norm * treatment.factor,
                          .gradient_scale = treatment.factor};
  if (treatment.clip_norm > 0) decision.gradient_scale *= clip_factor(decision.grad_norm, treatment.clip_norm);
  return decision;
}

}  // namespace limbeck::train
