#include "limbeck/train/optim/gradients.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "limbeck/core/error.h"
#include "limbeck/train/optim/kernels/choose_kernels.h"
#include "limbeck/train/optim/kernels/dense_arrays.h"
#include "limbeck/train/optim/kernels/element_jobs.h"

namespace limbeck::train {

namespace {

/// Chunks' sums of squares of all gradients that have kernels, added in the order of gradients and elements.
class SquareSum {
 public:
  void add(const at::Tensor& gradient) {
    const std::size_t first = sums_.size();
    sums_.resize(first + ElementJobs::num_chunks(gradient.numel()));
    arrays_.begin(gradient);
    visit_kernels(gradient.scalar_type(), [&]<class T, class C>(const kernels::UpdateKernels<T, C>& chosen) {
      jobs_.add(gradient.numel(), [this, first, values = arrays_.read<T>(gradient),
                                   sum = chosen.sum_of_squares](const ElementJobs::Chunk& chunk) {
        sums_[first + chunk.index] = sum(values, {chunk.begin, chunk.end});
      });
    });
  }

  double run() {
    jobs_.run();
    return std::accumulate(sums_.begin(), sums_.end(), 0.0);
  }

 private:
  std::vector<double> sums_;
  DenseArrays arrays_;
  ElementJobs jobs_;
};

/// Of gradients on other devices, with one wait for them.
double sum_by_operators(const std::vector<at::Tensor>& gradients) {
  if (gradients.empty()) return 0;
  std::vector<at::Tensor> norms;
  for (const at::Tensor& norm : at::_foreach_norm(gradients, 2)) norms.push_back(norm.to(at::kDouble));
  return at::stack(norms).square().sum().item<double>();
}

}  // namespace

at::Tensor values_of(const at::Tensor& gradient) {
  if (gradient.layout() == at::kStrided) return gradient;
  if (gradient.layout() == at::kSparse) return gradient.coalesce().values();
  fail<Unsupported>(
      "[gradients] a gradient is neither dense nor a sparse COO tensor. Make it dense: gradient.to_dense()");
}

GradientStatistics gradient_statistics(std::span<const at::Tensor> gradients) {
  const at::NoGradGuard no_grad;
  SquareSum sum;
  std::vector<at::Tensor> read, others;
  for (const at::Tensor& gradient : gradients) {
    if (!gradient.defined()) continue;
    const at::Tensor values = values_of(gradient);
    if (has_kernels(values)) {
      sum.add(read.emplace_back(values));
    } else {
      others.push_back(values);
    }
  }
  const double total = sum.run() + sum_by_operators(others);
  return {.norm = std::sqrt(total), .is_finite = std::isfinite(total)};
}

void scale_gradients(std::span<const at::Tensor> gradients, double factor) {
  const at::NoGradGuard no_grad;
  DenseArrays arrays;
  ElementJobs jobs;
  for (const at::Tensor& gradient : gradients) {
    if (!gradient.defined()) continue;
    if (!has_kernels(gradient) || gradient.layout() != at::kStrided) {
      gradient.mul_(factor);
      continue;
    }
    arrays.begin(gradient);
    visit_kernels(gradient.scalar_type(), [&]<class T, class C>(const kernels::UpdateKernels<T, C>& chosen) {
      jobs.add(gradient.numel(), [values = arrays.write<T>(gradient), scale = chosen.scale,
                                  factor = static_cast<C>(factor)](const ElementJobs::Chunk& chunk) {
        scale(values, {chunk.begin, chunk.end}, factor);
      });
    });
  }
  jobs.run();
  arrays.finish();
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
