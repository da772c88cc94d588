#include "limbeck/train/optim/rules/sgd.h"

#include <ATen/ATen.h>

#include "limbeck/core/error.h"
#include "limbeck/train/optim/kernels/choose_kernels.h"
#include "limbeck/train/optim/kernels/dense_arrays.h"
#include "limbeck/train/optim/kernels/element_jobs.h"
#include "limbeck/train/optim/rules/sgd_scalars.h"
#include "limbeck/train/optim/rules/update_all.h"
#include "limbeck/train/optim/rules/update_checks.h"

namespace limbeck::train {

namespace {

using kernels::MomentumUse;

/// Makes the buffer where the rule needs one and there is none.
MomentumUse prepare_momentum(SgdTensors& item, const SgdRule& rule) {
  if (rule.momentum == 0) return MomentumUse::none;
  if (item.momentum_buffer.defined()) return MomentumUse::continued;
  item.momentum_buffer = at::empty_like(item.parameter);
  return MomentumUse::first;
}

/// The one region of a call.
class SgdUpdate {
 public:
  SgdUpdate(const SgdRule& rule, double gradient_scale) : rule_(rule), gradient_scale_(gradient_scale) {}

  static void prepare(const SgdTensors& item) {
    const UpdateSite site{.rule = "sgd", .parameter = item.name};
    check_gradient(site, item.parameter, item.gradient);
    check_state(site, "momentum_buffer", item.parameter, item.momentum_buffer);
  }

  void add(SgdTensors& item) {
    const MomentumUse use = prepare_momentum(item, rule_);
    arrays_.begin(item.parameter);
    visit_kernels(item.parameter.scalar_type(), [&]<class T, class C>(const kernels::UpdateKernels<T, C>& chosen) {
      const kernels::Arrays<T> array{
          .parameter = arrays_.write<T>(item.parameter),
          .gradient = arrays_.read<T>(item.gradient),
          .first = use == MomentumUse::none ? nullptr : arrays_.write<T>(item.momentum_buffer)};
      jobs_.add(item.parameter.numel(),
                [array, step = chosen.sgd,
                 scalars = sgd_scalars<C>(rule_, use, gradient_scale_)](const ElementJobs::Chunk& chunk) {
                  step(array, {chunk.begin, chunk.end}, scalars);
                });
    });
  }

  void run() {
    jobs_.run();
    arrays_.finish();
  }

 private:
  const SgdRule& rule_;
  const double gradient_scale_;
  DenseArrays arrays_;
  ElementJobs jobs_;
};

}  // namespace

void SgdRule::validate() const {
  check_at_least_zero("sgd", "lr", lr);
  check_at_least_zero("sgd", "momentum", momentum);
  check_at_least_zero("sgd", "weight_decay", weight_decay);
  LIMBECK_CHECK(!nesterov || (momentum > 0 && dampening == 0),
                "[sgd] nesterov needs a momentum above 0 and dampening 0, got {} and {}", momentum, dampening);
}

void sgd_step(std::span<SgdTensors> tensors, const SgdRule& rule, double gradient_scale) {
  update_all<SgdUpdate>(tensors, rule, gradient_scale);
}

}  // namespace limbeck::train
