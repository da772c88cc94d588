// The update rules in ATen's operators, one parameter at a time: for devices and float types without kernels of ours.
// The tensors have passed the rule's checks and their state has been made, but for SGD's buffer, which the first step
// makes.
#pragma once

#include "limbeck/train/optim/rules/adagrad.h"
#include "limbeck/train/optim/rules/adam.h"
#include "limbeck/train/optim/rules/lamb.h"
#include "limbeck/train/optim/rules/lars.h"
#include "limbeck/train/optim/rules/sgd.h"

namespace limbeck::train {

void step_by_operators(SgdTensors& item, const SgdRule& rule, double gradient_scale);
/// These four: item.step counts this update already.
void step_by_operators(AdamTensors& item, const AdamRule& rule, double gradient_scale);
void step_by_operators(AdagradTensors& item, const AdagradRule& rule, double gradient_scale);
void step_by_operators(LambTensors& item, const LambRule& rule, double gradient_scale);
void step_by_operators(LarsTensors& item, const LarsRule& rule, double gradient_scale);

/// LAMB's ratio of norms, 1 where either is 0.
double trust_ratio(double parameter_norm, double step_norm);
/// LARS's ratio of norms, 1 where either is 0.
double layer_ratio(const LarsRule& rule, double parameter_norm, double gradient_norm);
/// The rate of Adagrad's step number `step`, from 1.
double rate_of(const AdagradRule& rule, int64_t step);

}  // namespace limbeck::train
