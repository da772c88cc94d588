#include "limbeck/train/optim/rules/lars.h"

#include <ATen/ATen.h>

#include <cmath>
#include <memory>
#include <vector>

#include "limbeck/core/error.h"
#include "limbeck/train/optim/kernels/choose_kernels.h"
#include "limbeck/train/optim/kernels/dense_arrays.h"
#include "limbeck/train/optim/kernels/element_jobs.h"
#include "limbeck/train/optim/rules/operator_steps.h"
#include "limbeck/train/optim/rules/update_all.h"
#include "limbeck/train/optim/rules/update_checks.h"

namespace limbeck::train {

namespace {

/// The two regions of one call: norms, then the steps.
class LarsUpdate {
 public:
  LarsUpdate(const LarsRule& rule, double gradient_scale)
      : rule_(rule), gradient_scale_(rule.maximize ? -gradient_scale : gradient_scale) {}

  static void prepare(LarsTensors& item) {
    const UpdateSite site{.rule = "lars", .parameter = item.name};
    check_gradient(site, item.parameter, item.gradient);
    check_state(site, "momentum_buffer", item.parameter, item.momentum_buffer);
    if (!item.momentum_buffer.defined()) item.momentum_buffer = at::zeros_like(item.parameter);
  }

  void add(const LarsTensors& item) {
    arrays_.begin(item.parameter);
    visit_kernels(item.parameter.scalar_type(), [&]<class T, class C>(const kernels::UpdateKernels<T, C>& chosen) {
      const kernels::Arrays<T> array{.parameter = arrays_.write<T>(item.parameter),
                                     .gradient = arrays_.read<T>(item.gradient),
                                     .first = arrays_.write<T>(item.momentum_buffer)};
      add_jobs(item.parameter, array, chosen);
    });
  }

  void run() {
    norms_.run();
    steps_.run();
    arrays_.finish();
  }

 private:
  using Sums = std::vector<kernels::SquareSums>;  // of each chunk; `direction` is the gradient

  template <class T, class C>
  void add_jobs(const at::Tensor& parameter, const kernels::Arrays<T>& array,
                const kernels::UpdateKernels<T, C>& chosen) {
    const bool adapted = is_adapted(rule_.adaptation, parameter);
    const auto sums = std::make_shared<Sums>(ElementJobs::num_chunks(parameter.numel()));
    if (adapted) {
      norms_.add(parameter.numel(), [=, sum = chosen.sum_of_squares](const ElementJobs::Chunk& chunk) {
        const kernels::Range range{chunk.begin, chunk.end};
        (*sums)[chunk.index] = {.parameter = sum(array.parameter, range), .direction = sum(array.gradient, range)};
      });
    }
    steps_.add(parameter.numel(), [=, this, work = chosen.lars](const ElementJobs::Chunk& chunk) {
      work(array, {chunk.begin, chunk.end},
           kernels::LarsScalars<C>{.gradient_scale = static_cast<C>(gradient_scale_),
                                   .weight_decay = static_cast<C>(rule_.weight_decay),
                                   .momentum = static_cast<C>(rule_.momentum),
                                   .rate = static_cast<C>(rule_.lr * (adapted ? ratio_of(*sums) : 1))});
    });
  }

  double ratio_of(const Sums& chunks) const {
    kernels::SquareSums total;
    for (const kernels::SquareSums& chunk : chunks) {
      total.parameter += chunk.parameter;
      total.direction += chunk.direction;
    }
    return layer_ratio(rule_, std::sqrt(total.parameter), std::abs(gradient_scale_) * std::sqrt(total.direction));
  }

  const LarsRule& rule_;
  const double gradient_scale_;
  DenseArrays arrays_;
  ElementJobs norms_, steps_;
};

}  // namespace

void LarsRule::validate() const {
  check_at_least_zero("lars", "lr", lr);
  check_fraction("lars", "momentum", momentum);
  check_at_least_zero("lars", "weight_decay", weight_decay);
  LIMBECK_CHECK(trust_coefficient > 0, "[lars] trust_coefficient must be above 0, got {}", trust_coefficient);
}

void lars_step(std::span<LarsTensors> tensors, const LarsRule& rule, double gradient_scale) {
  update_all<LarsUpdate>(tensors, rule, gradient_scale);
}

}  // namespace limbeck::train
