#include "limbeck/train/optim/rules/adagrad.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "limbeck/core/error.h"
#include "limbeck/train/optim/kernels/choose_kernels.h"
#include "limbeck/train/optim/kernels/dense_arrays.h"
#include "limbeck/train/optim/kernels/element_jobs.h"
#include "limbeck/train/optim/rules/operator_steps.h"
#include "limbeck/train/optim/rules/update_checks.h"

namespace limbeck::train {

namespace {

void prepare(AdagradTensors& item, const AdagradRule& rule) {
  const UpdateSite site{.rule = "adagrad", .parameter = item.name};
  check_gradient(site, item.parameter, item.gradient);
  check_state(site, "sum", item.parameter, item.sum);
  LIMBECK_CHECK(item.step >= 0, "{} has made {} steps", site.to_string(), item.step);
  if (!item.sum.defined()) item.sum = at::full_like(item.parameter, rule.initial_accumulator);
  ++item.step;
}

template <class C>
kernels::AdagradScalars<C> scalars_of(const AdagradRule& rule, double gradient_scale, int64_t step) {
  return {.gradient_scale = static_cast<C>(rule.maximize ? -gradient_scale : gradient_scale),
          .weight_decay = static_cast<C>(rule.weight_decay),
          .eps = static_cast<C>(rule.eps),
          .rate = static_cast<C>(rate_of(rule, step))};
}

void add_job(const AdagradTensors& item, const AdagradRule& rule, double gradient_scale, DenseArrays& arrays,
             ElementJobs& jobs) {
  arrays.begin(item.parameter);
  visit_kernels(item.parameter.scalar_type(), [&]<class T, class C>(const kernels::UpdateKernels<T, C>& chosen) {
    const kernels::Arrays<T> array{.parameter = arrays.write<T>(item.parameter),
                                   .gradient = arrays.read<T>(item.gradient),
                                   .first = arrays.write<T>(item.sum)};
    jobs.add(item.parameter.numel(),
             [array, step = chosen.adagrad,
              scalars = scalars_of<C>(rule, gradient_scale, item.step)](const ElementJobs::Chunk& chunk) {
               step(array, {chunk.begin, chunk.end}, scalars);
             });
  });
}

}  // namespace

void AdagradRule::validate() const {
  check_at_least_zero("adagrad", "lr", lr);
  check_at_least_zero("adagrad", "lr_decay", lr_decay);
  check_at_least_zero("adagrad", "weight_decay", weight_decay);
  check_at_least_zero("adagrad", "initial_accumulator", initial_accumulator);
  check_at_least_zero("adagrad", "eps", eps);
}

void adagrad_step(std::span<AdagradTensors> tensors, const AdagradRule& rule, double gradient_scale) {
  const at::NoGradGuard no_grad;
  rule.validate();
  DenseArrays arrays;
  ElementJobs jobs;
  for (AdagradTensors& item : tensors) {
    if (!item.gradient.defined()) continue;
    prepare(item, rule);
    has_kernels(item.parameter) ? add_job(item, rule, gradient_scale, arrays, jobs)
                                : step_by_operators(item, rule, gradient_scale);
  }
  jobs.run();
  arrays.finish();
}

}  // namespace limbeck::train
