#include "limbeck/train/optim/optimizer.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <map>
#include <optional>
#include <regex>
#include <set>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "limbeck/core/error.h"
#include "limbeck/train/optim/optimizer_state.h"

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

/// The parameters by the first pattern that matches; at the end those that none does.
std::vector<std::vector<NamedTensor>> by_pattern(const std::vector<NamedTensor>& parameters,
                                                 const std::vector<GroupOptions>& groups) {
  std::vector<std::regex> patterns;
  patterns.reserve(groups.size());
  for (const GroupOptions& group : groups) patterns.push_back(compile(group.pattern));
  std::vector<std::vector<NamedTensor>> members(groups.size() + 1);
  for (const NamedTensor& parameter : parameters) {
    std::size_t group = 0;
    while (group < patterns.size() && !std::regex_search(parameter.name, patterns[group])) ++group;
    members[group].push_back(parameter);
  }
  for (std::size_t i = 0; i < groups.size(); ++i) {
    LIMBECK_CHECK(!members[i].empty(), "[optimizer] pattern '{}' matches no parameter that is left to it",
                  groups[i].pattern);
  }
  return members;
}

std::string state_name(std::string_view field, const NamedTensor& parameter) {
  return std::string(field) + "/" + parameter.name;
}

constexpr const char* kStepField = "step";

int64_t updates_in(const at::Tensor& step, const std::string& parameter) {
  LIMBECK_CHECK(step.numel() == 1, "[optimizer] state 'step/{}' must be one number", parameter);
  const double number = step.item().toDouble();
  const std::optional<int64_t> updates = update_count(number);
  LIMBECK_CHECK(updates, "[optimizer] state 'step/{}' must be a number of updates, got {}", parameter, number);
  return *updates;
}

}  // namespace

struct Optimizer::Impl {
  OptimizerKind kind = OptimizerKind::sgd;
  std::vector<NamedTensor> parameters;
  std::vector<ParameterState> states;  // of `parameters`
  std::vector<std::size_t> group_of;   // of `parameters`, as indices of `groups`
  std::vector<OptimizerGroup> groups;
  std::vector<std::vector<std::size_t>> members;  // of each group, as indices of `parameters`
  std::map<std::string, std::size_t, std::less<>> index_by_name;
  std::unordered_map<const void*, std::size_t> index_by_identity;

  /// That these, of which no tensor is there twice, can become parameters of a group with such settings.
  void check_new(const std::vector<NamedTensor>& added, const OptimizerOptions& options) const {
    std::set<std::string_view> names;
    for (const NamedTensor& parameter : added) {
      LIMBECK_CHECK(!index_by_identity.contains(parameter.tensor.unsafeGetTensorImpl()),
                    "[optimizer] parameter '{}' is in a group already", parameter.name);
      LIMBECK_CHECK(!index_by_name.contains(parameter.name) && names.insert(parameter.name).second,
                    "[optimizer] two parameters are named '{}': give one of the models a prefix", parameter.name);
      LIMBECK_CHECK(
          options.master_weights == MasterWeights::none || parameter.tensor.scalar_type() == at::kBFloat16,
          "[optimizer] split_bf16 needs bfloat16 parameters, and '{}' is {}. Convert the model with to(bfloat16)",
          parameter.name, c10::toString(parameter.tensor.scalar_type()));
    }
  }

  /// Parameters that passed check_new, at the end of `parameters`, as of the next group.
  void register_parameters(const std::vector<NamedTensor>& added) {
    for (const NamedTensor& parameter : added) {
      index_by_identity.emplace(parameter.tensor.unsafeGetTensorImpl(), parameters.size());
      index_by_name.emplace(parameter.name, parameters.size());
      parameters.push_back(parameter);
      states.emplace_back();
      group_of.push_back(groups.size());
    }
  }

  /// A group of registered parameters.
  void add(std::vector<NamedTensor> added, const OptimizerOptions& options) {
    std::vector<std::size_t>& places = members.emplace_back();
    for (const NamedTensor& parameter : added) {
      places.push_back(index_by_name.find(parameter.name)->second);
      group_of[places.back()] = groups.size();
    }
    groups.push_back({.parameters = std::move(added), .options = with_overrides(options, {.pattern = {}})});
  }

  /// The settings that a parameter is updated by.
  const OptimizerOptions& options_of(std::size_t parameter) const { return groups[group_of[parameter]].options; }

  /// Puts what is kept of a parameter, under its names, at the end of `state`.
  void append_state(std::size_t parameter, std::vector<NamedTensor>& state) const;
  ParameterState state_from(std::size_t parameter, const std::map<std::string, at::Tensor>& given,
                            std::set<std::string>& taken) const;
};

Optimizer::Optimizer(const std::vector<NamedTensor>& parameters, const OptimizerOptions& options)
    : impl_(std::make_unique<Impl>()) {
  options.validate();
  impl_->kind = options.kind;
  const std::vector<NamedTensor> trainable = trainable_once(parameters);
  impl_->check_new(trainable, options);
  impl_->register_parameters(trainable);
  std::vector<std::vector<NamedTensor>> members = by_pattern(trainable, options.groups);
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (members[i].empty()) continue;
    const OptimizerOptions settings = i < options.groups.size() ? with_overrides(options, options.groups[i]) : options;
    settings.validate();
    impl_->add(std::move(members[i]), settings);
  }
}

Optimizer::~Optimizer() = default;
Optimizer::Optimizer(Optimizer&&) noexcept = default;
Optimizer& Optimizer::operator=(Optimizer&&) noexcept = default;

void Optimizer::add_group(const std::vector<NamedTensor>& parameters, const OptimizerOptions& options) {
  options.validate();
  LIMBECK_CHECK(options.kind == impl_->kind, "[optimizer] a group of {} was added to an optimizer of kind {}",
                optimizer_name(options.kind), optimizer_name(impl_->kind));
  std::vector<NamedTensor> added = trainable_once(parameters);
  impl_->check_new(added, options);  // all of them first: a refusal changes nothing
  impl_->register_parameters(added);
  impl_->add(std::move(added), options);
}

void Optimizer::step(double lr_factor, double gradient_scale) {
  for (std::size_t i = 0; i < impl_->groups.size(); ++i) {
    const OptimizerGroup& group = impl_->groups[i];
    OptimizerOptions options = group.options;
    options.lr *= lr_factor;
    std::vector<ParameterState*> states;
    for (const std::size_t place : impl_->members[i]) states.push_back(&impl_->states[place]);
    step_group(group.parameters, options, states, gradient_scale);
  }
}

void Optimizer::zero_grad() {
  for (const NamedTensor& parameter : impl_->parameters) parameter.tensor.mutable_grad().reset();
}

OptimizerKind Optimizer::kind() const { return impl_->kind; }
const std::vector<NamedTensor>& Optimizer::parameters() const { return impl_->parameters; }
const std::vector<OptimizerGroup>& Optimizer::groups() const { return impl_->groups; }

void Optimizer::set_options(std::size_t group, const OptimizerOptions& options) {
  LIMBECK_CHECK(group < impl_->groups.size(), "[optimizer] there is no group {}, only {}", group, impl_->groups.size());
  options.validate();
  OptimizerOptions& own = impl_->groups[group].options;
  LIMBECK_CHECK(options.kind == own.kind && options.master_weights == own.master_weights,
                "[optimizer] the kind and the master weights of a group cannot change: make a new optimizer");
  own = with_overrides(options, {.pattern = {}});
}

void Optimizer::set_lr(std::size_t group, double lr) {
  LIMBECK_CHECK(group < impl_->groups.size(), "[optimizer] there is no group {}, only {}", group, impl_->groups.size());
  LIMBECK_CHECK(lr >= 0, "[optimizer] lr must be at least 0, got {}", lr);
  impl_->groups[group].options.lr = lr;
}

void Optimizer::Impl::append_state(std::size_t place, std::vector<NamedTensor>& state) const {
  const NamedTensor& parameter = parameters[place];
  const ParameterState& own = states[place];
  const std::span<const StateField> fields = state_fields(options_of(place));
  for (std::size_t field = 0; field < fields.size(); ++field) {
    if (own.tensors[field].defined()) state.push_back({state_name(fields[field].name, parameter), own.tensors[field]});
  }
  if (counts_steps(kind) && own.tensors[0].defined()) {
    state.push_back({state_name(kStepField, parameter), at::scalar_tensor(own.step, at::kLong)});
  }
}

std::vector<NamedTensor> Optimizer::state() const {
  std::vector<NamedTensor> result;
  for (std::size_t i = 0; i < impl_->parameters.size(); ++i) impl_->append_state(i, result);
  return result;
}

std::vector<NamedTensor> Optimizer::state_of(const at::Tensor& parameter) const {
  std::vector<NamedTensor> result;
  const auto found = impl_->index_by_identity.find(parameter.unsafeGetTensorImpl());
  if (found != impl_->index_by_identity.end()) impl_->append_state(found->second, result);
  return result;
}

ParameterState Optimizer::Impl::state_from(std::size_t place, const std::map<std::string, at::Tensor>& given,
                                           std::set<std::string>& taken) const {
  const NamedTensor& parameter = parameters[place];
  const std::span<const StateField> fields = state_fields(options_of(place));
  ParameterState state;
  std::string missing;
  bool has_any = false;
  const auto find = [&](const char* field, bool is_optional) -> const at::Tensor* {
    const std::string name = state_name(field, parameter);
    const auto found = given.find(name);
    if (found == given.end()) {
      if (!is_optional) missing = name;
      return nullptr;
    }
    taken.insert(name);
    has_any = true;
    return &found->second;
  };
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const at::Tensor* tensor = find(fields[i].name, fields[i].is_optional);
    if (tensor == nullptr) continue;
    LIMBECK_CHECK(tensor->sizes() == parameter.tensor.sizes(),
                  "[optimizer] state '{}/{}' does not have the shape of its parameter", fields[i].name, parameter.name);
    // In the parameter's memory layout, as the optimizer made it: files are row-major.
    const at::ScalarType dtype = fields[i].dtype.value_or(parameter.tensor.scalar_type());
    state.tensors[i] = at::empty_like(parameter.tensor, dtype).copy_(*tensor);
  }
  if (counts_steps(kind)) {
    const at::Tensor* step = find(kStepField, false);
    if (step != nullptr) state.step = updates_in(*step, parameter.name);
  }
  LIMBECK_CHECK(!has_any || missing.empty(), "[optimizer] state '{}' is missing beside what else is there of it",
                missing);
  return state;
}

void Optimizer::load_state(const std::vector<NamedTensor>& state) {
  const at::NoGradGuard no_grad;
  std::map<std::string, at::Tensor> given;
  for (const NamedTensor& entry : state) given.emplace(entry.name, entry.tensor);
  std::set<std::string> taken;
  std::vector<ParameterState> loaded;
  for (std::size_t i = 0; i < impl_->parameters.size(); ++i) loaded.push_back(impl_->state_from(i, given, taken));
  for (const auto& [name, tensor] : given) {
    LIMBECK_CHECK(taken.contains(name), "[optimizer] state '{}' belongs to no parameter of this optimizer ({})", name,
                  optimizer_name(impl_->kind));
  }
  impl_->states = std::move(loaded);
}

std::vector<NamedTensor> numbered(std::span<const at::Tensor> tensors) {
  std::vector<NamedTensor> result;
  for (const at::Tensor& tensor : tensors) result.push_back({std::to_string(result.size()), tensor});
  return result;
}

}  // namespace limbeck::train
