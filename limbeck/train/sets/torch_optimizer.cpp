#include "limbeck/train/sets/torch_optimizer.h"

#include <c10/util/Type.h>
#include <fmt/format.h>
#include <torch/optim/adagrad.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/lbfgs.h>
#include <torch/optim/sgd.h>

#include <typeindex>

#include "limbeck/train/optim/update_rules.h"

namespace limbeck::train {

namespace {

namespace to = torch::optim;

/// The state of a parameter, made where there is none yet, as the optimizer's own step() does.
template <class State>
State& state_of_parameter(to::Optimizer& optimizer, const at::Tensor& parameter) {
  auto& slot = optimizer.state()[parameter.unsafeGetTensorImpl()];
  if (!slot) slot = std::make_unique<State>();
  return static_cast<State&>(*slot);
}

std::vector<at::Tensor> with_gradient(const to::OptimizerParamGroup& group) {
  std::vector<at::Tensor> result;
  for (const at::Tensor& parameter : group.params()) {
    if (parameter.grad().defined()) result.push_back(parameter);
  }
  return result;
}

void step_sgd(to::Optimizer& optimizer, const to::OptimizerParamGroup& group, double gradient_scale) {
  const auto& options = static_cast<const to::SGDOptions&>(group.options());
  const SgdRule rule{.lr = options.lr(),
                     .momentum = options.momentum(),
                     .dampening = options.dampening(),
                     .weight_decay = options.weight_decay(),
                     .nesterov = options.nesterov()};
  std::vector<SgdTensors> items;
  for (const at::Tensor& parameter : with_gradient(group)) {
    SgdTensors& item = items.emplace_back(SgdTensors{.parameter = parameter, .gradient = parameter.grad()});
    if (rule.momentum != 0) {
      item.momentum_buffer = state_of_parameter<to::SGDParamState>(optimizer, parameter).momentum_buffer();
    }
  }
  sgd_step(items, rule, gradient_scale);
  if (rule.momentum == 0) return;
  for (const SgdTensors& item : items) {
    state_of_parameter<to::SGDParamState>(optimizer, item.parameter).momentum_buffer(item.momentum_buffer);
  }
}

template <class Options, class State, AdamDecay kDecay>
void step_adam(to::Optimizer& optimizer, const to::OptimizerParamGroup& group, double gradient_scale) {
  const auto& options = static_cast<const Options&>(group.options());
  const auto [beta1, beta2] = options.betas();
  const AdamRule rule{.lr = options.lr(),
                      .beta1 = beta1,
                      .beta2 = beta2,
                      .eps = options.eps(),
                      .weight_decay = options.weight_decay(),
                      .decay = kDecay,
                      .amsgrad = options.amsgrad()};
  std::vector<AdamTensors> items;
  for (const at::Tensor& parameter : with_gradient(group)) {
    const auto& state = state_of_parameter<State>(optimizer, parameter);
    items.push_back({.parameter = parameter,
                     .gradient = parameter.grad(),
                     .exp_avg = state.exp_avg(),
                     .exp_avg_sq = state.exp_avg_sq(),
                     .max_exp_avg_sq = state.max_exp_avg_sq(),
                     .step = state.step()});
  }
  adam_step(items, rule, gradient_scale);
  for (const AdamTensors& item : items) {
    auto& state = state_of_parameter<State>(optimizer, item.parameter);
    state.exp_avg(item.exp_avg);
    state.exp_avg_sq(item.exp_avg_sq);
    if (rule.amsgrad) state.max_exp_avg_sq(item.max_exp_avg_sq);
    state.step(item.step);
  }
}

void step_adagrad(to::Optimizer& optimizer, const to::OptimizerParamGroup& group, double gradient_scale) {
  const auto& options = static_cast<const to::AdagradOptions&>(group.options());
  const AdagradRule rule{.lr = options.lr(),
                         .lr_decay = options.lr_decay(),
                         .weight_decay = options.weight_decay(),
                         .initial_accumulator = options.initial_accumulator_value(),
                         .eps = options.eps()};
  std::vector<AdagradTensors> items;
  for (const at::Tensor& parameter : with_gradient(group)) {
    const auto& state = state_of_parameter<to::AdagradParamState>(optimizer, parameter);
    items.push_back({.parameter = parameter, .gradient = parameter.grad(), .sum = state.sum(), .step = state.step()});
  }
  adagrad_step(items, rule, gradient_scale);
  for (const AdagradTensors& item : items) {
    auto& state = state_of_parameter<to::AdagradParamState>(optimizer, item.parameter);
    state.sum(item.sum);
    state.step(item.step);
  }
}

using GroupStep = void (*)(to::Optimizer&, const to::OptimizerParamGroup&, double gradient_scale);

/// A class with a fused rule.
struct FusedClass {
  std::type_index type;
  const char* name;
  GroupStep step;
};

const FusedClass* find_fused(const to::Optimizer& optimizer) {
  static const FusedClass kClasses[] = {
      {typeid(to::SGD), "SGD", step_sgd},
      {typeid(to::Adam), "Adam", step_adam<to::AdamOptions, to::AdamParamState, AdamDecay::l2>},
      {typeid(to::AdamW), "AdamW", step_adam<to::AdamWOptions, to::AdamWParamState, AdamDecay::decoupled>},
      {typeid(to::Adagrad), "Adagrad", step_adagrad},
  };
  for (const FusedClass& known : kClasses) {
    if (known.type == typeid(optimizer)) return &known;
  }
  return nullptr;
}

class TorchOptimizer : public OptimizerAdapter {
 public:
  explicit TorchOptimizer(to::Optimizer& optimizer) : optimizer_(optimizer), fused_(find_fused(optimizer)) {}

  std::string name() const override { return c10::demangle(typeid(optimizer_).name()); }
  const void* identity() const override { return &optimizer_; }
  bool needs_closure() const override { return dynamic_cast<const to::LBFGS*>(&optimizer_) != nullptr; }

  std::vector<ParameterGroup> groups() const override {
    std::vector<ParameterGroup> result;
    for (const to::OptimizerParamGroup& group : optimizer_.param_groups()) {
      result.push_back({.parameters = group.params(), .lr = group.options().get_lr()});
    }
    return result;
  }

  at::Tensor step(const LossClosure& closure) override {
    if (fused_ == nullptr) return optimizer_.step(closure);
    step_scaled(1);
    return {};
  }

  bool step_scaled(double gradient_scale) override {
    if (fused_ == nullptr) return false;
    for (const to::OptimizerParamGroup& group : optimizer_.param_groups())
      fused_->step(optimizer_, group, gradient_scale);
    return true;
  }

  StepSupport support() const override {
    if (fused_ != nullptr) {
      return {.is_fused = true, .reason = fmt::format("fused {} on the optimizer's own state", fused_->name)};
    }
    return {.is_fused = false, .reason = "its own step(): there is a fused rule for SGD, Adam, AdamW and Adagrad only"};
  }

  std::vector<at::Tensor> state_of(const at::Tensor& parameter) const override {
    const auto found = optimizer_.state().find(parameter.unsafeGetTensorImpl());
    if (fused_ == nullptr || found == optimizer_.state().end()) return {};
    const to::OptimizerParamState& state = *found->second;
    const std::type_index type = fused_->type;
    if (type == typeid(to::SGD)) return {static_cast<const to::SGDParamState&>(state).momentum_buffer()};
    if (type == typeid(to::Adagrad)) return {static_cast<const to::AdagradParamState&>(state).sum()};
    if (type == typeid(to::Adam)) return moments_of<to::AdamParamState>(state);
    return moments_of<to::AdamWParamState>(state);
  }

 private:
  template <class State>
  static std::vector<at::Tensor> moments_of(const to::OptimizerParamState& state) {
    const auto& adam = static_cast<const State&>(state);
    std::vector<at::Tensor> result{adam.exp_avg(), adam.exp_avg_sq()};
    if (adam.max_exp_avg_sq().defined()) result.push_back(adam.max_exp_avg_sq());
    return result;
  }

  to::Optimizer& optimizer_;
  const FusedClass* fused_;
};

}  // namespace

std::shared_ptr<OptimizerAdapter> adapt_torch_optimizer(to::Optimizer& optimizer) {
  return std::make_shared<TorchOptimizer>(optimizer);
}

}  // namespace limbeck::train
