#include "limbeck/train/optim/optimizer_state.h"

#include <cmath>

#include "limbeck/train/optim/rules/adagrad.h"
#include "limbeck/train/optim/rules/adam.h"
#include "limbeck/train/optim/rules/lamb.h"
#include "limbeck/train/optim/rules/lars.h"
#include "limbeck/train/optim/rules/sgd.h"
#include "limbeck/train/optim/rules/split_sgd.h"

namespace limbeck::train {

namespace {

using weights::NamedTensor;

constexpr StateField kMomentumFields[] = {{.name = "momentum_buffer", .is_optional = true}};
constexpr StateField kSplitFields[] = {{.name = "momentum_buffer", .dtype = at::kFloat, .is_optional = true},
                                       {.name = "low_bits", .dtype = at::kShort}};
constexpr StateField kAdamFields[] = {
    {.name = "exp_avg"}, {.name = "exp_avg_sq"}, {.name = "max_exp_avg_sq", .is_optional = true}};
constexpr StateField kLambFields[] = {{.name = "exp_avg"}, {.name = "exp_avg_sq"}};
constexpr StateField kAdagradFields[] = {{.name = "sum"}};

// Between the state and what each rule takes.
void take(SgdTensors& item, const ParameterState& state) { item.momentum_buffer = state.tensors[0]; }
void take(LarsTensors& item, const ParameterState& state) { item.momentum_buffer = state.tensors[0]; }
void take(SplitSgdTensors& item, const ParameterState& state) {
  item.momentum_buffer = state.tensors[0];
  item.low_bits = state.tensors[1];
}
void take(AdagradTensors& item, const ParameterState& state) {
  item.sum = state.tensors[0];
  item.step = state.step;
}
void take(LambTensors& item, const ParameterState& state) {
  item.exp_avg = state.tensors[0];
  item.exp_avg_sq = state.tensors[1];
  item.step = state.step;
}
void take(AdamTensors& item, const ParameterState& state) {
  item.exp_avg = state.tensors[0];
  item.exp_avg_sq = state.tensors[1];
  item.max_exp_avg_sq = state.tensors[2];
  item.step = state.step;
}

ParameterState state_of(const SgdTensors& item) { return {.tensors = {item.momentum_buffer}}; }
ParameterState state_of(const LarsTensors& item) { return {.tensors = {item.momentum_buffer}}; }
ParameterState state_of(const SplitSgdTensors& item) { return {.tensors = {item.momentum_buffer, item.low_bits}}; }
ParameterState state_of(const AdagradTensors& item) { return {.tensors = {item.sum}, .step = item.step}; }
ParameterState state_of(const LambTensors& item) {
  return {.tensors = {item.exp_avg, item.exp_avg_sq}, .step = item.step};
}
ParameterState state_of(const AdamTensors& item) {
  return {.tensors = {item.exp_avg, item.exp_avg_sq, item.max_exp_avg_sq}, .step = item.step};
}

template <class Tensors, class Step>
void step_items(const std::vector<NamedTensor>& parameters, std::span<ParameterState*> states, const Step& step) {
  std::vector<Tensors> items(parameters.size());
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    items[i].parameter = parameters[i].tensor;
    items[i].gradient = parameters[i].tensor.grad();
    items[i].name = parameters[i].name;
    take(items[i], *states[i]);
  }
  step(std::span<Tensors>(items));
  for (std::size_t i = 0; i < parameters.size(); ++i) *states[i] = state_of(items[i]);
}

SgdRule sgd_rule(const OptimizerOptions& options) {
  return {.lr = options.lr,
          .momentum = options.momentum,
          .dampening = options.dampening,
          .weight_decay = options.weight_decay,
          .nesterov = options.nesterov,
          .maximize = options.maximize};
}

AdamRule adam_rule(const OptimizerOptions& options) {
  return {.lr = options.lr,
          .beta1 = options.beta1,
          .beta2 = options.beta2,
          .eps = options.eps,
          .weight_decay = options.weight_decay,
          .decay = options.kind == OptimizerKind::adam ? AdamDecay::l2 : AdamDecay::decoupled,
          .amsgrad = options.amsgrad,
          .maximize = options.maximize};
}

AdagradRule adagrad_rule(const OptimizerOptions& options) {
  return {.lr = options.lr,
          .lr_decay = options.adagrad.lr_decay,
          .weight_decay = options.weight_decay,
          .initial_accumulator = options.adagrad.initial_accumulator,
          .eps = options.eps,
          .maximize = options.maximize};
}

LambRule lamb_rule(const OptimizerOptions& options) {
  return {.lr = options.lr,
          .beta1 = options.beta1,
          .beta2 = options.beta2,
          .eps = options.eps,
          .weight_decay = options.weight_decay,
          .adaptation = options.layerwise.adaptation,
          .maximize = options.maximize};
}

LarsRule lars_rule(const OptimizerOptions& options) {
  return {.lr = options.lr,
          .momentum = options.momentum,
          .weight_decay = options.weight_decay,
          .trust_coefficient = options.layerwise.trust_coefficient,
          .adaptation = options.layerwise.adaptation,
          .maximize = options.maximize};
}

bool is_split(const OptimizerOptions& options) { return options.master_weights == MasterWeights::split_bf16; }

}  // namespace

std::span<const StateField> state_fields(const OptimizerOptions& options) {
  switch (options.kind) {
    case OptimizerKind::sgd:
      if (is_split(options)) return kSplitFields;
      return kMomentumFields;
    case OptimizerKind::lars:
      return kMomentumFields;
    case OptimizerKind::adagrad:
      return kAdagradFields;
    case OptimizerKind::lamb:
      return kLambFields;
    default:
      return kAdamFields;
  }
}

bool counts_steps(OptimizerKind kind) { return kind != OptimizerKind::sgd && kind != OptimizerKind::lars; }

std::optional<int64_t> update_count(double number) {
  constexpr double kLargest = 9007199254740992;  // 2^53
  if (!(number >= 0 && number <= kLargest) || number != std::trunc(number)) return std::nullopt;
  return static_cast<int64_t>(number);
}

void step_group(const std::vector<NamedTensor>& parameters, const OptimizerOptions& options,
                std::span<ParameterState*> states, double gradient_scale) {
  const auto step = [&]<class Tensors>(auto rule_step, const auto& rule) {
    step_items<Tensors>(parameters, states, [&](std::span<Tensors> items) { rule_step(items, rule, gradient_scale); });
  };
  switch (options.kind) {
    case OptimizerKind::sgd:
      if (is_split(options)) return step.operator()<SplitSgdTensors>(split_sgd_step, sgd_rule(options));
      return step.operator()<SgdTensors>(sgd_step, sgd_rule(options));
    case OptimizerKind::adam:
    case OptimizerKind::adamw:
      return step.operator()<AdamTensors>(adam_step, adam_rule(options));
    case OptimizerKind::adagrad:
      return step.operator()<AdagradTensors>(adagrad_step, adagrad_rule(options));
    case OptimizerKind::lamb:
      return step.operator()<LambTensors>(lamb_step, lamb_rule(options));
    case OptimizerKind::lars:
      return step.operator()<LarsTensors>(lars_step, lars_rule(options));
  }
}

}  // namespace limbeck::train
