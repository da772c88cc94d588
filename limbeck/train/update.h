// What a step does between backward and the optimizer, for the trainer and for sets alike: scale and weights taken out,
// the joint norm, the check that all is finite, clipping. The gradients are read once and written never: the result is
// a factor that the optimizer's step takes them times.
#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <string>
#include <string_view>

#include "limbeck/train/optim/gradients.h"

namespace limbeck::train {

struct GradientTreatment {
  double factor = 1;     // what the gradients are to be multiplied by: one over a loss scale, weights of micro-batches
  double clip_norm = 0;  // joint 2-norm at most this, after `factor`; 0: no clipping
};

/// What the gradients allow.
struct UpdateDecision {
  bool is_finite = true;      // else no update may be made of them
  double grad_norm = 0;       // joint 2-norm after `factor`, before clipping
  double gradient_scale = 1;  // `factor` and clipping in one
};

/// Undefined gradients are passed over, sparse ones (COO) count as if they were dense.
UpdateDecision decide_update(std::span<const at::Tensor> gradients, const GradientTreatment& treatment);

/// What became infinite or NaN, for the error of the step that so updates nothing.
struct NotFinite {
  std::string_view scope;      // of the message: "train"
  std::string_view what;       // "loss" or "gradients"
  std::string step;            // "step 7"
  std::string parameter{};     // whose gradient is the first such, as it is to be called; empty: none is known
  std::string_view remains{};  // what there is beside the weights: "The last checkpoint stands."
};

/// Throws InvalidArgument.
[[noreturn]] void fail_not_finite(const NotFinite& found);

/// The name of the first parameter whose gradient is not finite; empty where there is none.
std::string first_not_finite(std::span<const NamedTensor> parameters);

}  // namespace limbeck::train
