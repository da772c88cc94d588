#include "limbeck/train/optim/rules/adam.h"

#include <ATen/ATen.h>

#include <cmath>

#include "limbeck/core/error.h"
#include "limbeck/train/optim/kernels/choose_kernels.h"
#include "limbeck/train/optim/kernels/dense_arrays.h"
#include "limbeck/train/optim/kernels/element_jobs.h"
#include "limbeck/train/optim/rules/update_all.h"
#include "limbeck/train/optim/rules/update_checks.h"

namespace limbeck::train {

namespace {

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

/// The one region of a call.
class AdamUpdate {
 public:
  AdamUpdate(const AdamRule& rule, double gradient_scale) : rule_(rule), gradient_scale_(gradient_scale) {}

  void prepare(AdamTensors& item) const {
    const UpdateSite site{.rule = "adam", .parameter = item.name};
    check_gradient(site, item.parameter, item.gradient);
    check_state(site, "exp_avg", item.parameter, item.exp_avg);
    check_state(site, "exp_avg_sq", item.parameter, item.exp_avg_sq);
    check_state(site, "max_exp_avg_sq", item.parameter, item.max_exp_avg_sq);
    LIMBECK_CHECK(item.step >= 0, "{} has made {} steps", site.to_string(), item.step);
    if (!item.exp_avg.defined()) item.exp_avg = at::zeros_like(item.parameter);
    if (!item.exp_avg_sq.defined()) item.exp_avg_sq = at::zeros_like(item.parameter);
    if (rule_.amsgrad && !item.max_exp_avg_sq.defined()) item.max_exp_avg_sq = at::zeros_like(item.parameter);
    ++item.step;
  }

  void add(const AdamTensors& item) {
    arrays_.begin(item.parameter);
    visit_kernels(item.parameter.scalar_type(), [&]<class T, class C>(const kernels::UpdateKernels<T, C>& chosen) {
      const kernels::Arrays<T> array{.parameter = arrays_.write<T>(item.parameter),
                                     .gradient = arrays_.read<T>(item.gradient),
                                     .first = arrays_.write<T>(item.exp_avg),
                                     .second = arrays_.write<T>(item.exp_avg_sq),
                                     .third = rule_.amsgrad ? arrays_.write<T>(item.max_exp_avg_sq) : nullptr};
      jobs_.add(item.parameter.numel(),
                [array, step = chosen.adam,
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
  const AdamRule& rule_;
  const double gradient_scale_;
  DenseArrays arrays_;
  ElementJobs jobs_;
};

}  // namespace

void AdamRule::validate() const {
  check_at_least_zero("adam", "lr", lr);
  check_fraction("adam", "beta1", beta1);
  check_fraction("adam", "beta2", beta2);
  check_at_least_zero("adam", "eps", eps);
  check_at_least_zero("adam", "weight_decay", weight_decay);
}

void adam_step(std::span<AdamTensors> tensors, const AdamRule& rule, double gradient_scale) {
  update_all<AdamUpdate>(tensors, rule, gradient_scale);
}

}  // namespace limbeck::train
