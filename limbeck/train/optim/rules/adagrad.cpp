#include "limbeck/train/optim/rules/adagrad.h"

#include <ATen/ATen.h>

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
kernels::AdagradScalars<C> scalars_of(const AdagradRule& rule, double gradient_scale, int64_t step) {
  return {.gradient_scale = static_cast<C>(rule.maximize ? -gradient_scale : gradient_scale),
          .weight_decay = static_cast<C>(rule.weight_decay),
          .eps = static_cast<C>(rule.eps),
          .rate = static_cast<C>(rate_of(rule, step))};
}

/// The one region of a call.
class AdagradUpdate {
 public:
  AdagradUpdate(const AdagradRule& rule, double gradient_scale) : rule_(rule), gradient_scale_(gradient_scale) {}

  void prepare(AdagradTensors& item) const {
    const UpdateSite site{.rule = "adagrad", .parameter = item.name};
    check_gradient(site, item.parameter, item.gradient);
    check_state(site, "sum", item.parameter, item.sum);
    LIMBECK_CHECK(item.step >= 0, "{} has made {} steps", site.to_string(), item.step);
    if (!item.sum.defined()) item.sum = at::full_like(item.parameter, rule_.initial_accumulator);
    ++item.step;
  }

  void add(const AdagradTensors& item) {
    arrays_.begin(item.parameter);
    visit_kernels(item.parameter.scalar_type(), [&]<class T, class C>(const kernels::UpdateKernels<T, C>& chosen) {
      const kernels::Arrays<T> array{.parameter = arrays_.write<T>(item.parameter),
                                     .gradient = arrays_.read<T>(item.gradient),
                                     .first = arrays_.write<T>(item.sum)};
      jobs_.add(item.parameter.numel(),
                [array, step = chosen.adagrad,
                 scalars = scalars_of<C>(rule_, gradient_scale_, item.step)](const ElementJobs::Chunk& chunk) {
                  step(array, {chunk.begin, chunk.end}, scalars);
                });
    });
  }

  void run() {
    jobs_.run();
    arrays_.finish();
  }

 private:
  const AdagradRule& rule_;
  const double gradient_scale_;
  DenseArrays arrays_;
  ElementJobs jobs_;
};

}  // namespace

void AdagradRule::validate() const {
  check_at_least_zero("adagrad", "lr", lr);
  check_at_least_zero("adagrad", "lr_decay", lr_decay);
  check_at_least_zero("adagrad", "weight_decay", weight_decay);
  check_at_least_zero("adagrad", "initial_accumulator", initial_accumulator);
  check_at_least_zero("adagrad", "eps", eps);
}

void adagrad_step(std::span<AdagradTensors> tensors, const AdagradRule& rule, double gradient_scale) {
  update_all<AdagradUpdate>(tensors, rule, gradient_scale);
}

}  // namespace limbeck::train
