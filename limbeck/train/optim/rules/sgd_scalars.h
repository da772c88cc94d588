// SGD's rule as its kernels take it. Used by sgd.cpp and split_sgd.cpp alone.
#pragma once

#include "limbeck/train/optim/kernels/kernels.h"
#include "limbeck/train/optim/rules/sgd.h"

namespace limbeck::train {

template <class C>
kernels::SgdScalars<C> sgd_scalars(const SgdRule& rule, kernels::MomentumUse use, double gradient_scale) {
  return {.use = use,
          .nesterov = rule.nesterov,
          .gradient_scale = static_cast<C>(rule.maximize ? -gradient_scale : gradient_scale),
          .weight_decay = static_cast<C>(rule.weight_decay),
          .momentum = static_cast<C>(rule.momentum),
          .gradient_share = static_cast<C>(1 - rule.dampening),
          .lr = static_cast<C>(rule.lr)};
}

}  // namespace limbeck::train
