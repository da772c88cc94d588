#include "limbeck/train/optim/optimizer.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/optim/adamw.h>
#include <torch/optim/sgd.h>

#include <map>
#include <regex>
#include <set>
#include <utility>

#include "limbeck/core/error.h"

namespace limbeck::train {

namespace {

std::regex compile(const std::string& pattern) {
  try {
    return std::regex(pattern, std::regex::ECMAScript);
  } catch (const std::regex_error& error) {
    fail<InvalidArgument>("[optimizer] '{}' is not a regular expression: {}", pattern, error.what());
  }
}

std::vector<NamedTensor> trainable_once(const std::vector<NamedTensor>& parameters) {
  std::vector<NamedTensor> result;
  std::set<const void*> seen;
  for (const NamedTensor& parameter : parameters) {
    if (parameter.tensor.requires_grad() && seen.insert(parameter.tensor.unsafeGetTensorImpl()).second) {
      result.push_back(parameter);
    }
  }
  LIMBECK_CHECK(!result.empty(), "[optimizer] none of the {} parameters requires a gradient: unfreeze some",
                parameters.size());
  return result;
}

/// The state that an optimizer keeps of each parameter, as it is called in files.
std::vector<const char*> state_fields(OptimizerKind kind) {
  if (kind == OptimizerKind::sgd) return {"momentum_buffer"};
  return {"exp_avg", "exp_avg_sq", "step"};
}

std::string state_name(const char* field, const NamedTensor& parameter) {
  return std::string(field) + "/" + parameter.name;
}

/// Settings of one group after its overrides.
struct GroupSettings {
  double lr, weight_decay;
};

std::unique_ptr<torch::optim::OptimizerOptions> torch_options(const OptimizerOptions& options,
                                                              const GroupSettings& group) {
  if (options.kind == OptimizerKind::sgd) {
    auto sgd = std::make_unique<torch::optim::SGDOptions>(group.lr);
    sgd->momentum(options.momentum).nesterov(options.nesterov).weight_decay(group.weight_decay);
    return sgd;
  }
  auto adamw = std::make_unique<torch::optim::AdamWOptions>(group.lr);
  adamw->betas({options.beta1, options.beta2}).eps(options.eps).weight_decay(group.weight_decay);
  return adamw;
}

}  // namespace

struct Optimizer::Impl {
  std::vector<NamedTensor> parameters;
  std::vector<double> base_lr;  // by group of `torch`
  OptimizerKind kind = OptimizerKind::sgd;
  std::unique_ptr<torch::optim::Optimizer> torch;

  /// Visits the state tensors of one parameter as (field, tensor&); creates the state when `create`.
  template <class Visit>
  void visit_state(const NamedTensor& parameter, bool create, const Visit& visit) const {
    auto& states = torch->state();
    void* key = parameter.tensor.unsafeGetTensorImpl();
    if (states.find(key) == states.end()) {
      if (!create) return;
      if (kind == OptimizerKind::sgd) {
        states[key] = std::make_unique<torch::optim::SGDParamState>();
      } else {
        states[key] = std::make_unique<torch::optim::AdamWParamState>();
      }
    }
    if (kind == OptimizerKind::sgd) {
      auto& state = static_cast<torch::optim::SGDParamState&>(*states[key]);
      visit(
          "momentum_buffer", [&] { return state.momentum_buffer(); },
          [&](at::Tensor t) { state.momentum_buffer(std::move(t)); });
      return;
    }
    auto& state = static_cast<torch::optim::AdamWParamState&>(*states[key]);
    visit(
        "exp_avg", [&] { return state.exp_avg(); }, [&](at::Tensor t) { state.exp_avg(std::move(t)); });
    visit(
        "exp_avg_sq", [&] { return state.exp_avg_sq(); }, [&](at::Tensor t) { state.exp_avg_sq(std::move(t)); });
    visit(
        "step", [&] { return at::scalar_tensor(state.step(), at::kLong); },
        [&](const at::Tensor& t) { state.step(t.item<int64_t>()); });
  }
};

Optimizer::Optimizer(const std::vector<NamedTensor>& parameters, const OptimizerOptions& options)
    : impl_(std::make_unique<Impl>()) {
  options.validate();
  impl_->parameters = trainable_once(parameters);
  impl_->kind = options.kind;
  std::vector<std::vector<at::Tensor>> members(options.groups.size() + 1);  // the last: no pattern matched
  std::vector<std::regex> patterns;
  for (const GroupOptions& group : options.groups) patterns.push_back(compile(group.pattern));
  for (const NamedTensor& parameter : impl_->parameters) {
    std::size_t group = 0;
    while (group < patterns.size() && !std::regex_search(parameter.name, patterns[group])) ++group;
    members[group].push_back(parameter.tensor);
  }
  std::vector<torch::optim::OptimizerParamGroup> groups;
  for (std::size_t i = 0; i < members.size(); ++i) {
    const bool is_rest = i == options.groups.size();
    LIMBECK_CHECK(is_rest || !members[i].empty(), "[optimizer] pattern '{}' matches no parameter that is left to it",
                  options.groups[i].pattern);
    if (members[i].empty()) continue;
    const GroupSettings settings{
        .lr = is_rest ? options.lr : options.groups[i].lr.value_or(options.lr),
        .weight_decay = is_rest ? options.weight_decay : options.groups[i].weight_decay.value_or(options.weight_decay)};
    impl_->base_lr.push_back(settings.lr);
    groups.emplace_back(std::move(members[i]), torch_options(options, settings));
  }
  if (options.kind == OptimizerKind::sgd) {
    impl_->torch = std::make_unique<torch::optim::SGD>(std::move(groups), torch::optim::SGDOptions(options.lr));
  } else {
    impl_->torch = std::make_unique<torch::optim::AdamW>(std::move(groups), torch::optim::AdamWOptions(options.lr));
  }
}

Optimizer::~Optimizer() = default;
Optimizer::Optimizer(Optimizer&&) noexcept = default;
Optimizer& Optimizer::operator=(Optimizer&&) noexcept = default;

void Optimizer::step(double lr_factor) {
  auto& groups = impl_->torch->param_groups();
  for (std::size_t i = 0; i < groups.size(); ++i) groups[i].options().set_lr(impl_->base_lr[i] * lr_factor);
  impl_->torch->step();
}

void Optimizer::zero_grad() {
  for (const NamedTensor& parameter : impl_->parameters) parameter.tensor.mutable_grad().reset();
}

const std::vector<NamedTensor>& Optimizer::parameters() const { return impl_->parameters; }

std::vector<NamedTensor> Optimizer::state() const {
  std::vector<NamedTensor> result;
  for (const NamedTensor& parameter : impl_->parameters) {
    impl_->visit_state(parameter, false, [&](const char* field, const auto& get, const auto&) {
      const at::Tensor tensor = get();
      if (tensor.defined()) result.push_back({state_name(field, parameter), tensor});
    });
  }
  return result;
}

void Optimizer::load_state(const std::vector<NamedTensor>& state) {
  const at::NoGradGuard no_grad;
  std::map<std::string, at::Tensor> by_name;
  for (const NamedTensor& entry : state) by_name.emplace(entry.name, entry.tensor);
  for (const NamedTensor& parameter : impl_->parameters) {
    const std::vector<const char*> fields = state_fields(impl_->kind);
    const auto is_given = [&](const char* field) { return by_name.contains(state_name(field, parameter)); };
    if (std::none_of(fields.begin(), fields.end(), is_given)) continue;
    impl_->visit_state(parameter, true, [&](const char* field, const auto&, const auto& set) {
      const auto found = by_name.find(state_name(field, parameter));
      if (found == by_name.end()) return;
      const at::Tensor tensor = found->second;
      const bool is_step = std::string_view(field) == "step";
      LIMBECK_CHECK(is_step || tensor.sizes() == parameter.tensor.sizes(),
                    "[optimizer] state '{}' does not have the shape of its parameter", found->first);
      by_name.erase(found);
      // In the parameter's memory layout, as the optimizer made it: files are row-major.
      set(is_step ? tensor.clone() : at::empty_like(parameter.tensor).copy_(tensor));
    });
  }
  LIMBECK_CHECK(by_name.empty(), "[optimizer] state '{}' belongs to no parameter of this optimizer",
                by_name.begin()->first);
}

void OptimizerOptions::validate() const {
  LIMBECK_CHECK(lr > 0, "[optimizer] lr must be above 0, got {}", lr);
  LIMBECK_CHECK(weight_decay >= 0, "[optimizer] weight_decay must be at least 0, got {}", weight_decay);
  LIMBECK_CHECK(momentum >= 0 && momentum < 1, "[optimizer] momentum must lie in [0, 1), got {}", momentum);
  LIMBECK_CHECK(!nesterov || momentum > 0, "[optimizer] nesterov needs a momentum above 0");
  LIMBECK_CHECK(beta1 >= 0 && beta1 < 1 && beta2 >= 0 && beta2 < 1, "[optimizer] betas must lie in [0, 1), got {}, {}",
                beta1, beta2);
  LIMBECK_CHECK(eps > 0, "[optimizer] eps must be above 0, got {}", eps);
}

std::string_view optimizer_name(OptimizerKind kind) { return kind == OptimizerKind::sgd ? "sgd" : "adamw"; }

OptimizerKind parse_optimizer(std::string_view name) {
  for (const OptimizerKind kind : {OptimizerKind::sgd, OptimizerKind::adamw}) {
    if (name == optimizer_name(kind)) return kind;
  }
  fail<InvalidArgument>("[optimizer] '{}' does not exist. Use sgd or adamw.", name);
}

}  // namespace limbeck::train
