// A distillation: a student, a teacher, and the terms that tie them, ready for the training loop.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "limbeck/distill/adapter.h"
#include "limbeck/distill/losses.h"
#include "limbeck/distill/teacher.h"
#include "limbeck/train/trainer.h"

namespace limbeck::distill {

enum class AdapterKind : uint8_t {
  automatic,  // built from the shapes of both taps
  none,       // the shapes must be equal
};

/// One feature term: weight · MSE(adapter(student tap), teacher tap).
struct FeatureTerm {
  std::string student_tap;  // scope[@call][#i]
  std::string teacher_tap;
  double weight = 1;
  AdapterKind adapter = AdapterKind::automatic;
};

struct DistillOptions {
  KdOptions kd{};
  std::vector<FeatureTerm> features{};
  uint64_t seed = 0;  // of the adapters' initial weights

  /// Throws InvalidArgument if a field is out of range.
  void validate() const;
};

/// A feature term with what brings its two taps to one shape.
struct BoundTerm {
  FeatureTerm term;
  AdapterPlan plan;
  std::optional<Model> adapter;  // trained along with the student; nullopt where nothing is trainable
};

/// Runs two samples through both models, in eval mode and without changing either, and builds the adapters. Throws
/// InvalidArgument for taps that do not exist and for logits of different shapes (naming both), and what plan_adapter
/// throws.
std::vector<BoundTerm> bind_terms(const Model& student, const Model& teacher, const at::Tensor& two_samples,
                                  const DistillOptions& options);

/// The adapters of the terms, named "adapter0", ...: the trainer's companions.
std::vector<std::pair<std::string, Model>> adapters_of(const std::vector<BoundTerm>& terms);

/// Brings a teacher's feature of term i to the size that it is compared at.
FeatureTransform teacher_transform(const std::vector<BoundTerm>& terms);

/// The taps that the teacher must return, in the order of the terms.
std::vector<std::string> teacher_taps(const std::vector<BoundTerm>& terms);

/// kd of the logits plus the feature terms.
train::Objective distillation_objective(const Model& student, std::shared_ptr<Teacher> teacher,
                                        std::vector<BoundTerm> terms, const KdOptions& kd,
                                        Fusion fusion = Fusion::training);

}  // namespace limbeck::distill
