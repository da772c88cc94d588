// What a step of a set updates, derived from who owns what; made anew whenever groups or models have changed.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "limbeck/train/sets/optimizer_ref.h"
#include "limbeck/train/sets/ownership.h"

namespace limbeck::train {

struct UpdatePlan {
  TensorMap map;
  std::vector<NamedTensor> updated;       // owned by an optimizer, trained by a role, requires_grad on
  std::vector<at::Tensor> with_gradient;  // parameters of trained models, owned or not: gradients may appear here
  std::vector<at::Tensor> untouchable;    // owned, but frozen or of models that no role trains
  std::vector<std::vector<NamedTensor>> updated_by;  // the same by optimizer
  std::vector<bool> is_idle;                         // by optimizer: no role trains what it owns
};

/// Checks ownership and roles (see ownership.h) and gives roles to members without one.
UpdatePlan plan_updates(std::vector<Member>& members, const std::vector<OptimizerRef>& optimizers);

/// Equal as long as no group, no requires_grad of an owned parameter and no model has changed.
std::vector<uint64_t> plan_signature(const std::vector<Member>& members, const std::vector<OptimizerRef>& optimizers);

/// RAII: takes the gradients of parameters that must not change away while optimizers step, which would use what an
/// earlier training left there.
class HiddenGradients {
 public:
  explicit HiddenGradients(const std::vector<at::Tensor>& parameters);
  ~HiddenGradients();
  HiddenGradients(const HiddenGradients&) = delete;
  HiddenGradients& operator=(const HiddenGradients&) = delete;

 private:
  std::vector<std::pair<at::Tensor, at::Tensor>> hidden_;  // parameter, gradient
};

/// RAII: parameters get back the values that they had unless keep() is called: around a step that may fail half-way.
class RestoredWeights {
 public:
  explicit RestoredWeights(const std::vector<NamedTensor>& parameters);
  ~RestoredWeights();
  RestoredWeights(const RestoredWeights&) = delete;
  RestoredWeights& operator=(const RestoredWeights&) = delete;
  void keep() { saved_.clear(); }

 private:
  std::vector<std::pair<at::Tensor, at::Tensor>> saved_;  // parameter, copy of its values
};

}  // namespace limbeck::train
