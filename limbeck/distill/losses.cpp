#include "limbeck/distill/losses.h"

#include <ATen/ops/log_softmax.h>
#include <ATen/ops/mse_loss.h>
#include <fmt/ranges.h>

#include "limbeck/core/error.h"
#include "limbeck/train/losses.h"

namespace limbeck::distill {

using train::in_loss_precision;

at::Tensor kd_divergence_per_sample(const at::Tensor& student, const at::Tensor& teacher, double temperature) {
  LIMBECK_CHECK(student.dim() == 2 && student.sym_sizes() == teacher.sym_sizes(),
                "[distill] student and teacher logits must both be [B, C], got {} and {}", student.sizes().vec(),
                teacher.sizes().vec());
  LIMBECK_CHECK(temperature > 0, "[distill] temperature must be above 0, got {}", temperature);
  const at::Tensor log_student = at::log_softmax(in_loss_precision(student) / temperature, 1);
  const at::Tensor log_teacher = at::log_softmax(in_loss_precision(teacher.detach()) / temperature, 1);
  return (log_teacher.exp() * (log_teacher - log_student)).sum(1) * (temperature * temperature);
}

at::Tensor kd_divergence(const at::Tensor& student, const at::Tensor& teacher, double temperature) {
  return kd_divergence_per_sample(student, teacher, temperature).mean();
}

void KdOptions::validate() const {
  LIMBECK_CHECK(temperature > 0, "[distill] temperature must be above 0, got {}", temperature);
  LIMBECK_CHECK(alpha >= 0 && alpha <= 1, "[distill] alpha must lie in [0, 1], got {}", alpha);
  LIMBECK_CHECK(label_smoothing >= 0 && label_smoothing <= 1, "[distill] label_smoothing must lie in [0, 1], got {}",
                label_smoothing);
}

at::Tensor kd(const at::Tensor& student, const at::Tensor& teacher, const at::Tensor& labels,
              const KdOptions& options) {
  options.validate();
  LIMBECK_CHECK(labels.defined() || options.alpha == 1,
                "[distill] without labels alpha must be 1, the weight of the teacher's term alone, got {}",
                options.alpha);
  const at::Tensor divergence = options.alpha * kd_divergence(student, teacher, options.temperature);
  if (!labels.defined()) return divergence;
  return divergence + (1 - options.alpha) * train::cross_entropy(student, labels, options.label_smoothing);
}

at::Tensor feature_mse(const at::Tensor& student, const at::Tensor& teacher) {
  LIMBECK_CHECK(student.sizes() == teacher.sizes(),
                "[distill] features must have one shape, got {} and {}: use an adapter", student.sizes().vec(),
                teacher.sizes().vec());
  return at::mse_loss(in_loss_precision(student), in_loss_precision(teacher.detach()));
}

}  // namespace limbeck::distill
