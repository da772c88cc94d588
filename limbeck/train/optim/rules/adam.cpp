#include "limbeck/train/optim/rules/adam.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>

#include "limbeck/core/error.h"
#include "limbeck/train/optim/kernels/choose_kernels.h"
#include "limbeck/train/optim/kernels/dense_arrays.h"
#include "limbeck/train/optim/kernels/element_jobs.h"
#include "limbeck/train/optim/rules/operator_steps.h"
#include "limbeck/train/optim/rules/update_checks.h"

namespace limbeck::train {

namespace {

void prepare(AdamTensors& item, const AdamRule& rule) {
  const UpdateSite site{.rule = "adam", .parameter = item.name};
  check_gradient(site, item.parameter, item.gradient);
  check_state(site, "exp_avg", item.parameter, item.exp_avg);
  check_state(site, "exp_avg_sq", item.parameter, item.exp_avg_sq);
  check_state(site, "max_exp_avg_sq", item.parameter, item.max_exp_avg_sq);
  LIMBECK_CHECK(item.step >= 0, "{} has made {} steps", site.to_string(), item.step);
  if (!item.exp_avg.defined()) item.exp_avg = at::zeros_like(item.parameter);
  if (!item.exp_avg_sq.defined()) item.exp_avg_sq = at::zeros_like(item.parameter);
  if (rule.amsgrad && !item.max_exp_avg_sq.defined()) item.max_exp_avg_sq = at::zeros_like(item.parameter);
  ++item.step;
}

template <class C>
kernels::AdamScalars<C> scalars_of(const AdamRule& rule, double gradient_scale, int64_t step) {
  const auto t = static_cast<double>(step);
  const bool is_l2 = rule.decay == AdamDecay::l2;
  return {.amsgrad = rule.amsgrad,
          .gradient_scale = static_cast<C>(rule.maximize ? -gradient_scale : gradient_scale),
          .weight_decay = static_cast<C>(is_l2 ? rule.weight_decay : 0),
          .shrink = static_cast<C>(is_l2 ? 1 : 1 - rule.lr * rule.weight_decay),
          .first_share = static_cast<C>(1 - rule.beta1),
          .second_kept = static_cast<C>(rule.beta2),
          .second_share = static_cast<C>(1 - rule.beta2),
          .second_correction = static_cast<C>(std::sqrt(1 - std::pow(rule.beta2, t))),
          .step_size = static_cast<C>(rule.lr / (1 - std::pow(rule.beta1, t))),
          .eps = static_cast<C>(rule.eps)};
}

void add_job(const AdamTensors& item, const AdamRule& rule, double gradient_scale, DenseArrays& arrays,
             ElementJobs& jobs) {
  arrays.begin(item.parameter);
  visit_kernels(item.parameter.scalar_type(), [&]<class T, class C>(const kernels::UpdateKernels<T, C>& chosen) {
    const kernels::Arrays<T> array{.parameter = arrays.write<T>(item.parameter),
                                   .gradient = arrays.read<T>(item.gradient),
                                   .first = arrays.write<T>(item.exp_avg),
                                   .second = arrays.write<T>(item.exp_avg_sq),
                                   .third = rule.amsgrad ? arrays.write<T>(item.max_exp_avg_sq) : nullptr};
    jobs.add(item.parameter.numel(),
             [array, step = chosen.adam,
              scalars = scalars_of<C>(rule, gradient_scale, item.step)](const ElementJobs::Chunk& chunk) {
               step(array, {chunk.begin, chunk.end}, scalars);
             });
  });
}

}  // namespace

void AdamRule::validate() const {
  check_at_least_zero("adam", "lr", lr);
  check_fraction("adam", "beta1", beta1);
  check_fraction("adam", "beta2", beta2);
  check_at_least_zero("adam", "eps", eps);
  check_at_least_zero("adam", "weight_decay", weight_decay);
}

void adam_step(std::span<AdamTensors> tensors, const AdamRule& rule, double gradient_scale) {
  const at::NoGradGuard no_grad;
  rule.validate();
  DenseArrays arrays;
  ElementJobs jobs;
  for (AdamTensors& item : tensors) {
    if (!item.gradient.defined()) continue;
    prepare(item, rule);
    has_kernels(item.parameter) ? add_job(item, rule, gradient_scale, arrays, jobs)
                                : step_by_operators(item, rule, gradient_scale);
  }
  jobs.run();
  arrays.finish();
}

}  // namespace limbeck::train
