// What every rule that knows kernels and operators does with the tensors that it is given. Used by the rules alone.
#pragma once

#include <ATen/core/grad_mode.h>

#include <span>

#include "limbeck/train/optim/kernels/choose_kernels.h"
#include "limbeck/train/optim/rules/operator_steps.h"

namespace limbeck::train {

/// One update of every tensor that has a gradient: by kernels, all of them together, or in ATen's operators where there
/// are no kernels for its device and type. `Update` is what a rule does with its tensors, made of rule and scale:
/// prepare(item) checks one and makes its state, add(item) takes one up for the kernels, run() runs these.
template <class Update, class Item, class Rule>
void update_all(std::span<Item> tensors, const Rule& rule, double gradient_scale) {
  const at::NoGradGuard no_grad;
  rule.validate();
  Update update(rule, gradient_scale);
  for (Item& item : tensors) {
    if (!item.gradient.defined()) continue;
    update.prepare(item);
    has_kernels(item.parameter) ? update.add(item) : step_by_operators(item, rule, gradient_scale);
  }
  update.run();
}

}  // namespace limbeck::train
