#include <ATen/ATen.h>

#include <algorithm>
#include <map>
#include <set>

#include "limbeck/core/error.h"
#include "limbeck/graph/weights/pth_writer.h"
#include "limbeck/train/optim/optimizer_state.h"
#include "limbeck/train/optim/torch_optimizer_file.h"

namespace limbeck::train {

namespace {

using weights::SavedDict;
using weights::SavedList;
using weights::SavedNone;
using weights::SavedTuple;
using weights::SavedValue;

SavedValue text(std::string_view value) { return {std::string(value)}; }

/// The names by group, in the order of `parameter_order`. Those that no group has are frozen: Python's optimizer counts
/// them where it was given all of a model's parameters; they stand in the last group.
std::vector<std::vector<std::string>> names_by_group(const Optimizer& optimizer, std::span<const std::string> order) {
  std::map<std::string_view, std::size_t> group_of;
  for (std::size_t i = 0; i < optimizer.groups().size(); ++i) {
    for (const NamedTensor& parameter : optimizer.groups()[i].parameters) group_of.emplace(parameter.name, i);
  }
  std::vector<std::vector<std::string>> result(optimizer.groups().size());
  std::set<std::string_view> seen;
  for (const std::string& name : order) {
    LIMBECK_CHECK(seen.insert(name).second, "[torch_optimizer] the order of parameters has '{}' twice", name);
    const auto found = group_of.find(name);
    (found == group_of.end() ? result.back() : result[found->second]).push_back(name);
  }
  for (const NamedTensor& parameter : optimizer.parameters()) {
    LIMBECK_CHECK(seen.contains(parameter.name), "[torch_optimizer] the order of parameters lacks '{}'",
                  parameter.name);
  }
  return result;
}

/// The settings of a group under torch.optim's names, all that its classes of torch 2.13 look at.
SavedDict group_settings(const OptimizerOptions& options) {
  SavedDict group;
  group.set(text("lr"), {options.lr});
  group.set(text("weight_decay"), {options.weight_decay});
  group.set(text("maximize"), {options.maximize});
  group.set(text("differentiable"), {false});
  for (const char* implementation : {"foreach", "fused"}) group.set(text(implementation), {SavedNone{}});
  switch (options.kind) {
    case OptimizerKind::sgd:
      group.set(text("momentum"), {options.momentum});
      group.set(text("dampening"), {options.dampening});
      group.set(text("nesterov"), {options.nesterov});
      return group;
    case OptimizerKind::adagrad:
      group.set(text("eps"), {options.eps});
      group.set(text("lr_decay"), {options.adagrad.lr_decay});
      group.set(text("initial_accumulator_value"), {options.adagrad.initial_accumulator});
      return group;
    default:
      group.set(text("betas"), {SavedTuple{{{options.beta1}, {options.beta2}}}});
      group.set(text("eps"), {options.eps});
      group.set(text("amsgrad"), {options.amsgrad});
      group.set(text("capturable"), {false});
      group.set(text("decoupled_weight_decay"), {options.kind == OptimizerKind::adamw});
      return group;
  }
}

/// The state of one parameter. torch.optim.Adagrad makes its sums when it is made, and needs them of every parameter.
SavedDict state_of(const NamedTensor& parameter, const OptimizerOptions& options,
                   const std::map<std::string, at::Tensor>& state) {
  SavedDict result;
  for (const StateField& field : state_fields(options)) {
    const auto found = state.find(std::string(field.name) + "/" + parameter.name);
    if (found != state.end()) result.set(text(field.name), {found->second.detach()});
  }
  const auto step = state.find("step/" + parameter.name);
  const bool is_unused_adagrad = options.kind == OptimizerKind::adagrad && result.keys.empty();
  if (is_unused_adagrad) {
    result.set(text("sum"), {at::full_like(parameter.tensor.detach(), options.adagrad.initial_accumulator)});
  }
  if (step != state.end() || is_unused_adagrad) {
    const int64_t count = step == state.end() ? 0 : step->second.item<int64_t>();
    result.set(text("step"), {at::scalar_tensor(static_cast<double>(count), at::kFloat)});
  }
  return result;
}

SavedDict optimizer_dict(const Optimizer& optimizer, std::span<const std::string> order) {
  std::map<std::string, at::Tensor> state;
  for (const NamedTensor& entry : optimizer.state()) state.emplace(entry.name, entry.tensor);
  std::map<std::string_view, const NamedTensor*> parameters;
  for (const NamedTensor& parameter : optimizer.parameters()) parameters.emplace(parameter.name, &parameter);
  const std::vector<std::vector<std::string>> names = names_by_group(optimizer, order);
  SavedDict states;
  SavedList groups;
  int64_t id = 0;  // as Python numbers them: along the groups
  for (std::size_t i = 0; i < names.size(); ++i) {
    const OptimizerOptions& options = optimizer.groups()[i].options;
    SavedList ids;
    for (const std::string& name : names[i]) {
      const auto found = parameters.find(name);
      SavedDict own = found == parameters.end() ? SavedDict{} : state_of(*found->second, options, state);
      if (!own.keys.empty()) states.set({id}, {std::move(own)});
      ids.items.push_back({id++});
    }
    SavedDict group = group_settings(options);
    group.set(text("params"), {std::move(ids)});
    groups.items.push_back({std::move(group)});
  }
  SavedDict result;
  result.set(text("state"), {std::move(states)});
  result.set(text("param_groups"), {std::move(groups)});
  return result;
}

void check_known_to_torch(const Optimizer& optimizer) {
  const OptimizerKind kind = optimizer.kind();
  if (kind == OptimizerKind::lamb || kind == OptimizerKind::lars) {
    fail<Unsupported>("[torch_optimizer] PyTorch has no {}: save the state with a checkpoint of Limbeck's",
                      optimizer_name(kind));
  }
  for (const OptimizerGroup& group : optimizer.groups()) {
    if (group.options.master_weights == MasterWeights::none) continue;
    fail<Unsupported>(
        "[torch_optimizer] PyTorch has no split bfloat16 weights: save the state with a checkpoint of Limbeck's");
  }
}

}  // namespace

void save_torch_optimizer(const std::filesystem::path& path, const Optimizer& optimizer,
                          std::span<const std::string> parameter_order, std::span<const NamedTensor> model) {
  check_known_to_torch(optimizer);
  std::vector<std::string> own_order;
  for (const NamedTensor& parameter : optimizer.parameters()) own_order.push_back(parameter.name);
  SavedDict file;
  if (!model.empty()) {
    SavedDict tensors;
    for (const NamedTensor& entry : model) tensors.set(text(entry.name), {entry.tensor.detach()});
    file.set(text("model_state_dict"), {std::move(tensors)});
  }
  file.set(text("optimizer_state_dict"),
           {optimizer_dict(optimizer, parameter_order.empty() ? own_order : parameter_order)});
  weights::write_pth(path, SavedValue{std::move(file)});
}

}  // namespace limbeck::train
