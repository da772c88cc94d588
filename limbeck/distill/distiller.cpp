#include "limbeck/distill/distiller.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>

#include "limbeck/core/error.h"
#include "limbeck/train/loop/labels.h"

namespace limbeck::distill {

namespace {

struct Probe {
  at::Tensor logits;
  std::vector<FeatureShape> features;
};

/// Shapes of a model's logits and taps on a small batch; neither its state nor its mode changes.
Probe probe_model(const Model& model, const at::Tensor& samples, const std::vector<std::string>& taps) {
  const at::NoGradGuard no_grad;
  const Outputs outputs =
      model.with_own_modes().forward(samples, {.taps = taps, .state_updates = StateUpdates::discard});
  Probe result{.logits = outputs.logits(), .features = {}};
  for (const NamedTensor& tap : outputs.taps) {
    LIMBECK_CHECK(tap.tensor.dim() >= 2, "[distill] tap '{}' is no feature of a batch: its shape is {}", tap.name,
                  tap.tensor.sizes().vec());
    result.features.emplace_back(tap.tensor.sizes().begin() + 1, tap.tensor.sizes().end());
  }
  return result;
}

/// As probe_model; what is wrong says of which of the two models.
Probe probe(const char* role, const Model& model, const at::Tensor& samples, const std::vector<std::string>& taps) {
  try {
    return probe_model(model, samples, taps);
  } catch (const InvalidArgument& error) {
    fail<InvalidArgument>("[distill] {}: {}", role, error.what());
  }
}

AdapterPlan plan_term(const FeatureTerm& term, const FeatureShape& student, const FeatureShape& teacher) {
  LIMBECK_CHECK(
      term.adapter == AdapterKind::automatic || student == teacher,
      "[distill] features '{}' [B, {}] and '{}' [B, {}] differ and the term has adapter: none. Use adapter: auto.",
      term.student_tap, fmt::join(student, ", "), term.teacher_tap, fmt::join(teacher, ", "));
  return plan_adapter(student, teacher);
}

at::Tensor feature_loss(BoundTerm& term, const at::Tensor& student, const at::Tensor& teacher) {
  const at::Tensor pooled = pool_to(student, term.plan.pool_student);
  return feature_mse(term.adapter ? term.adapter->forward(pooled).tensors.front().tensor : pooled, teacher);
}

}  // namespace

void DistillOptions::validate() const {
  kd.validate();
  for (const FeatureTerm& term : features) {
    LIMBECK_CHECK(std::isfinite(term.weight) && term.weight >= 0,
                  "[distill] the weight of feature '{}' must be at least 0, got {}", term.student_tap, term.weight);
  }
}

std::vector<BoundTerm> bind_terms(const Model& student, const Model& teacher, const at::Tensor& two_samples,
                                  const DistillOptions& options) {
  options.validate();
  std::vector<std::string> student_taps, teacher_taps;
  for (const FeatureTerm& term : options.features) {
    student_taps.push_back(term.student_tap);
    teacher_taps.push_back(term.teacher_tap);
  }
  const Probe of_student = probe("student", student, two_samples, student_taps),
              of_teacher = probe("teacher", teacher, two_samples, teacher_taps);
  LIMBECK_CHECK(
      of_student.logits.sizes() == of_teacher.logits.sizes(),
      "[distill] the student's logits are {} and the teacher's {}: both must have the same classes. Use replace_head.",
      of_student.logits.sizes().vec(), of_teacher.logits.sizes().vec());
  std::vector<BoundTerm> terms;
  for (std::size_t i = 0; i < options.features.size(); ++i) {
    AdapterPlan plan = plan_term(options.features[i], of_student.features[i], of_teacher.features[i]);
    std::optional<Model> adapter = make_adapter(plan, options.seed + i);
    terms.push_back({.term = options.features[i], .plan = std::move(plan), .adapter = std::move(adapter)});
  }
  return terms;
}

std::vector<std::pair<std::string, Model>> adapters_of(const std::vector<BoundTerm>& terms) {
  std::vector<std::pair<std::string, Model>> adapters;
  for (std::size_t i = 0; i < terms.size(); ++i) {
    if (terms[i].adapter) adapters.emplace_back(fmt::format("adapter{}", i), *terms[i].adapter);
  }
  return adapters;
}

FeatureTransform teacher_transform(const std::vector<BoundTerm>& terms) {
  std::vector<std::optional<FeatureShape>> sizes;
  for (const BoundTerm& term : terms) sizes.push_back(term.plan.pool_teacher);
  return [sizes](std::size_t tap, const at::Tensor& feature) { return pool_to(feature, sizes[tap]); };
}

std::vector<std::string> teacher_taps(const std::vector<BoundTerm>& terms) {
  std::vector<std::string> taps;
  for (const BoundTerm& term : terms) taps.push_back(term.term.teacher_tap);
  return taps;
}

train::Objective distillation_objective(const Model& student, std::shared_ptr<Teacher> teacher,
                                        std::vector<BoundTerm> terms, const KdOptions& options, Fusion fusion) {
  RunOptions run{.fusion = fusion};
  for (const BoundTerm& term : terms) run.taps.push_back(term.term.student_tap);
  return [student = student, teacher = std::move(teacher), terms = std::move(terms), options, run](
             const data::Batch& batch, const train::Progress&) mutable -> train::StepResult {
    const TeacherOutputs targets = (*teacher)(batch);
    const Outputs outputs = student.forward(batch.x, run);
    train::check_labels(batch, outputs.logits());
    const at::Tensor& labels = batch.targets.defined() ? batch.targets : batch.y;
    at::Tensor loss = kd(outputs.logits(), targets.logits, labels, options);
    for (std::size_t i = 0; i < terms.size(); ++i) {
      loss = loss + terms[i].term.weight * feature_loss(terms[i], outputs.taps[i].tensor, targets.features[i]);
    }
    return {.loss = loss, .logits = outputs.logits()};
  };
}

}  // namespace limbeck::distill
