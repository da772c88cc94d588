// Passes over the gradients of many parameters at a time: their joint norm, whether all are finite, scaling, clipping.
#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

#include "limbeck/graph/weights/tensor_storage.h"

namespace limbeck::train {

using weights::NamedTensor;

struct GradientStatistics {
  double norm = 0;        // joint 2-norm, summed in float64 in a fixed order: the same for any number of threads
  bool is_finite = true;  // no infinity and no NaN anywhere
};

/// Reads every gradient once, in one parallel region. Undefined ones are passed over; sparse ones (COO) count as if
/// they were dense. float64 elements beyond 1e154, whose squares do not fit, count as infinite. Throws Unsupported for
/// other layouts.
GradientStatistics gradient_statistics(std::span<const at::Tensor> gradients);

/// All numbers of the gradient that are not zero by its layout; those of one place of a sparse one (COO) as their sum.
/// Throws Unsupported for other layouts.
at::Tensor values_of(const at::Tensor& gradient);

/// Multiplies every gradient in place, in one parallel region: unscaling of a scaled loss, clipping. Undefined ones are
/// passed over.
void scale_gradients(std::span<const at::Tensor> gradients, double factor);

/// The factor that brings a joint norm to `max_norm`, at most 1: for scale_gradients, or the `gradient_scale` of a
/// step, which needs no pass over the gradients. As torch.nn.utils.clip_grad_norm_ has it.
double clip_factor(double norm, double max_norm);

/// The gradients of these parameters; undefined where a parameter has none.
std::vector<at::Tensor> gradients_of(std::span<const NamedTensor> parameters);

/// The joint 2-norm of all gradients. Parameters without gradient are passed over.
double grad_norm(const std::vector<NamedTensor>& parameters);

/// Scales all gradients so that their joint 2-norm is at most `max_norm`; returns the norm before
/// (torch.nn.utils.clip_grad_norm_). Parameters without gradient are passed over.
double clip_grad_norm(const std::vector<NamedTensor>& parameters, double max_norm);

}  // namespace limbeck::train
