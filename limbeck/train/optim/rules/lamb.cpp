#include "limbeck/train/optim/rules/lamb.h"

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

template <class C>
kernels::LambScalars<C> scalars_of(const LambRule& rule, double gradient_scale, int64_t step) {
  const auto t = static_cast<double>(step);
  return {.gradient_scale = static_cast<C>(rule.maximize ? -gradient_scale : gradient_scale),
          .weight_decay = static_cast<C>(rule.weight_decay),
          .first_share = static_cast<C>(1 - rule.beta1),
          .second_kept = static_cast<C>(rule.beta2),
          .second_share = static_cast<C>(1 - rule.beta2),
          .first_correction = static_cast<C>(1 / (1 - std::pow(rule.beta1, t))),
          .second_correction = static_cast<C>(std::sqrt(1 - std::pow(rule.beta2, t))),
          .eps = static_cast<C>(rule.eps)};
}

/// The two regions of one call: moments with what the norms are made of, then the steps.
class LambUpdate {
 public:
  LambUpdate(const LambRule& rule, double gradient_scale) : rule_(rule), gradient_scale_(gradient_scale) {}

  static void prepare(LambTensors& item) {
    const UpdateSite site{.rule = "lamb", .parameter = item.name};
    check_gradient(site, item.parameter, item.gradient);
    check_state(site, "exp_avg", item.parameter, item.exp_avg);
    check_state(site, "exp_avg_sq", item.parameter, item.exp_avg_sq);
    LIMBECK_CHECK(item.step >= 0, "{} has made {} steps", site.to_string(), item.step);
    if (!item.exp_avg.defined()) item.exp_avg = at::zeros_like(item.parameter);
    if (!item.exp_avg_sq.defined()) item.exp_avg_sq = at::zeros_like(item.parameter);
    ++item.step;
  }

  void add(const LambTensors& item) {
    arrays_.begin(item.parameter);
    visit_kernels(item.parameter.scalar_type(), [&]<class T, class C>(const kernels::UpdateKernels<T, C>& chosen) {
      const kernels::Arrays<T> array{.parameter = arrays_.write<T>(item.parameter),
                                     .gradient = arrays_.read<T>(item.gradient),
                                     .first = arrays_.write<T>(item.exp_avg),
                                     .second = arrays_.write<T>(item.exp_avg_sq)};
      add_jobs(item.parameter, array, chosen, scalars_of<C>(rule_, gradient_scale_, item.step));
    });
  }

  void run() {
    moments_.run();
    steps_.run();
    arrays_.finish();
  }

 private:
  template <class T, class C>
  void add_jobs(const at::Tensor& parameter, const kernels::Arrays<T>& array,
                const kernels::UpdateKernels<T, C>& chosen, const kernels::LambScalars<C>& scalars) {
    const auto sums = std::make_shared<std::vector<kernels::SquareSums>>(ElementJobs::num_chunks(parameter.numel()));
    moments_.add(parameter.numel(), [=, work = chosen.lamb_moments](const ElementJobs::Chunk& chunk) {
      (*sums)[chunk.index] = work(array, {chunk.begin, chunk.end}, scalars);
    });
    const bool adapted = is_adapted(rule_.adaptation, parameter);
    steps_.add(parameter.numel(), [=, lr = rule_.lr, work = chosen.lamb_apply](const ElementJobs::Chunk& chunk) {
      kernels::LambScalars<C> step = scalars;
      step.rate = static_cast<C>(lr * (adapted ? trust_ratio(*sums) : 1));
      work(array, {chunk.begin, chunk.end}, step);
    });
  }

  static double trust_ratio(const std::vector<kernels::SquareSums>& chunks) {
    kernels::SquareSums total;
    for (const kernels::SquareSums& chunk : chunks) {
      total.parameter += chunk.parameter;
      total.direction += chunk.direction;
    }
    return train::trust_ratio(std::sqrt(total.parameter), std::sqrt(total.direction));
  }

  const LambRule& rule_;
  const double gradient_scale_;
  DenseArrays arrays_;
  ElementJobs moments_, steps_;
};

}  // namespace

void LambRule::validate() const {
  check_at_least_zero("lamb", "lr", lr);
  check_fraction("lamb", "beta1", beta1);
  check_fraction("lamb", "beta2", beta2);
  check_at_least_zero("lamb", "eps", eps);
  check_at_least_zero("lamb", "weight_decay", weight_decay);
}

void lamb_step(std::span<LambTensors> tensors, const LambRule& rule, double gradient_scale) {
  update_all<LambUpdate>(tensors, rule, gradient_scale);
}

}  // namespace limbeck::train
