#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <array>
#include <map>
#include <optional>
#include <set>

#include "limbeck/core/error.h"
#include "limbeck/graph/weights/pth.h"
#include "limbeck/train/optim/optimizer_state.h"
#include "limbeck/train/optim/torch_optimizer_file.h"

namespace limbeck::train {

namespace {

using weights::PickleDict;
using weights::PicklePtr;
using weights::PickleValue;

constexpr std::array<std::string_view, 5> kNestingKeys = {"optimizer_state_dict", "optimizer", "optimizer_state",
                                                          "optim", "opt"};

bool is_optimizer_dict(const PickleDict& dict) {
  return find_string(dict, "state") != nullptr && find_string(dict, "param_groups") != nullptr;
}

/// The items of a list or tuple; null for anything else.
const std::vector<PicklePtr>* items_of(const PickleValue& value) {
  if (const auto* list = value.get_if<weights::PickleList>()) return &list->items;
  if (const auto* tuple = value.get_if<weights::PickleTuple>()) return &tuple->items;
  return nullptr;
}

/// A dictionary of one torch.optim optimizer, with messages that say where.
class DictReader {
 public:
  DictReader(const weights::PickleArchive& archive, const TorchOptimizerOptions& options)
      : archive_(archive), options_(options), dict_(find()) {}

  TorchOptimizer read(OptimizerKind kind) {
    const std::vector<const PickleDict*> groups = read_groups();
    const std::vector<std::string> names = names_of_parameters(groups);
    TorchOptimizer result;
    std::size_t next_name = 0;
    for (const PickleDict* group : groups) {
      check_kind(*group, kind);
      TorchOptimizer::Group& read = result.groups.emplace_back();
      read.options = read_options(*group, kind);
      for (const PicklePtr id : list(*group, "params")) {
        const std::string& name = names.at(next_name++);
        read.parameters.push_back(name);
        if (!name_of_.emplace(integer(*id, "params"), name).second) refuse("names a parameter twice in its groups");
      }
    }
    read_states(kind, result);
    return result;
  }

 private:
  template <class... Args>
  [[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) const {
    fail<InvalidArgument>("[torch_optimizer] {}: the dictionary {}", archive_.where(),
                          fmt::format(format, std::forward<Args>(args)...));
  }

  const PickleDict& find() const {
    const auto* top = archive_.root().get_if<PickleDict>();
    if (top != nullptr && !options_.key.empty()) {
      top = descend(*top, options_.key);
      if (top != nullptr && is_optimizer_dict(*top)) return *top;
    } else if (top != nullptr) {
      if (is_optimizer_dict(*top)) return *top;
      for (const std::string_view key : kNestingKeys) {
        const PickleDict* inner = descend(*top, key);
        if (inner != nullptr && is_optimizer_dict(*inner)) return *inner;
      }
      const PicklePtr several = find_string(*top, "optimizer_states");  // PyTorch Lightning
      const auto* states = several == nullptr ? nullptr : items_of(*several);
      const auto* only = states == nullptr || states->size() != 1 ? nullptr : states->front()->get_if<PickleDict>();
      if (only != nullptr && is_optimizer_dict(*only)) return *only;
    }
    fail<InvalidArgument>(
        "[torch_optimizer] {}: no optimizer dictionary (with 'state' and 'param_groups') found{}. Name where it stands "
        "with `key`",
        archive_.where(), options_.key.empty() ? "" : " under '" + options_.key + "'");
  }

  static const PickleDict* descend(const PickleDict& dict, std::string_view key) {
    const std::size_t dot = key.find('.');
    const PicklePtr inner = find_string(dict, key.substr(0, dot));
    const auto* found = inner == nullptr ? nullptr : inner->get_if<PickleDict>();
    return found == nullptr || dot == std::string_view::npos ? found : descend(*found, key.substr(dot + 1));
  }

  const std::vector<PicklePtr>& list(const PickleDict& dict, std::string_view key) const {
    const PicklePtr value = find_string(dict, key);
    const auto* items = value == nullptr ? nullptr : items_of(*value);
    if (items == nullptr) refuse("needs a list under '{}'", key);
    return *items;
  }

  int64_t integer(const PickleValue& value, std::string_view key) const {
    const auto* number = value.get_if<int64_t>();
    if (number == nullptr) refuse("needs integers under '{}', got {}", key, describe(value));
    return *number;
  }

  std::optional<double> real(const PickleValue& value) const {
    if (const auto* number = value.get_if<double>()) return *number;
    if (const auto* number = value.get_if<int64_t>()) return static_cast<double>(*number);
    if (const auto* reference = value.get_if<weights::TensorRef>()) {  // lr=torch.tensor(0.1)
      const at::Tensor tensor = archive_.tensor(*reference);
      if (tensor.numel() == 1) return tensor.item().toDouble();
    }
    return std::nullopt;
  }

  double real(const PickleDict& group, std::string_view key) const {
    const PicklePtr value = find_string(group, key);
    const auto number = value == nullptr ? std::nullopt : real(*value);
    if (!number) refuse("needs a number under '{}' of each group", key);
    return *number;
  }

  /// Missing in files of older torch: false.
  static bool flag(const PickleDict& group, std::string_view key) {
    const PicklePtr value = find_string(group, key);
    const auto* set = value == nullptr ? nullptr : value->get_if<bool>();
    return set != nullptr && *set;
  }

  std::vector<const PickleDict*> read_groups() const {
    std::vector<const PickleDict*> groups;
    for (const PicklePtr item : list(dict_, "param_groups")) {
      const auto* group = item->get_if<PickleDict>();
      if (group == nullptr) refuse("needs dicts in 'param_groups', got {}", describe(*item));
      groups.push_back(group);
    }
    return groups;
  }

  std::vector<std::string> names_of_parameters(const std::vector<const PickleDict*>& groups) const {
    std::vector<std::string> names;
    std::size_t num_parameters = 0;
    for (const PickleDict* group : groups) {
      num_parameters += list(*group, "params").size();
      const PicklePtr own = find_string(*group, "param_names");
      const auto* items = own == nullptr ? nullptr : items_of(*own);
      if (items == nullptr) continue;
      for (const PicklePtr item : *items) {
        if (const std::string* name = text_of(*item)) names.push_back(*name);
      }
    }
    if (num_parameters > 0 && names.size() == num_parameters) return names;
    if (options_.parameter_order.size() != num_parameters) {
      refuse(
          "has {} parameters, but the order given has {}. Name all that the Python optimizer was given, frozen ones "
          "too, in its order",
          num_parameters, options_.parameter_order.size());
    }
    return options_.parameter_order;
  }

  /// The class, told by the settings that only it has; nothing for Adam or AdamW, which older files do not tell.
  static std::optional<OptimizerKind> kind_of(const PickleDict& group) {
    const auto has = [&](std::string_view key) { return find_string(group, key) != nullptr; };
    if (has("dampening") && has("momentum")) return OptimizerKind::sgd;
    if (has("lr_decay") && has("initial_accumulator_value")) return OptimizerKind::adagrad;
    if (!has("decoupled_weight_decay")) return std::nullopt;
    return flag(group, "decoupled_weight_decay") ? OptimizerKind::adamw : OptimizerKind::adam;
  }

  void check_kind(const PickleDict& group, OptimizerKind kind) const {
    const std::optional<OptimizerKind> found = kind_of(group);
    const bool is_adam = find_string(group, "betas") != nullptr && find_string(group, "amsgrad") != nullptr;
    if (!found && !is_adam) {
      std::vector<std::string> keys;
      for (const auto& [key, value] : group.entries) keys.push_back(text_of(*key) ? *text_of(*key) : describe(*key));
      fail<Unsupported>(
          "[torch_optimizer] {}: a dictionary of none of SGD, Adam, AdamW and Adagrad: its groups have {}",
          archive_.where(), fmt::join(keys, ", "));
    }
    const bool fits = found ? *found == kind : kind == OptimizerKind::adam || kind == OptimizerKind::adamw;
    if (!fits) {
      refuse("is of {}, the optimizer of kind {}", found ? optimizer_name(*found) : "adam or adamw",
             optimizer_name(kind));
    }
  }

  OptimizerOptions read_options(const PickleDict& group, OptimizerKind kind) const {
    OptimizerOptions options{.kind = kind,
                             .lr = real(group, "lr"),
                             .weight_decay = real(group, "weight_decay"),
                             .maximize = flag(group, "maximize")};
    if (kind == OptimizerKind::sgd) {
      options.momentum = real(group, "momentum");
      options.dampening = real(group, "dampening");
      options.nesterov = flag(group, "nesterov");
      return options;
    }
    options.eps = real(group, "eps");
    if (kind == OptimizerKind::adagrad) {
      options.adagrad = {.lr_decay = real(group, "lr_decay"),
                         .initial_accumulator = real(group, "initial_accumulator_value")};
      return options;
    }
    options.amsgrad = flag(group, "amsgrad");
    const std::vector<PicklePtr>& betas = list(group, "betas");
    const auto beta1 = betas.size() == 2 ? real(*betas[0]) : std::nullopt;
    const auto beta2 = betas.size() == 2 ? real(*betas[1]) : std::nullopt;
    if (!beta1 || !beta2) refuse("needs two numbers under 'betas'");
    options.beta1 = *beta1;
    options.beta2 = *beta2;
    return options;
  }

  void read_states(OptimizerKind kind, TorchOptimizer& result) const {
    const auto* states = find_string(dict_, "state")->get_if<PickleDict>();
    if (states == nullptr) refuse("needs a dict under 'state'");
    for (const auto& [key, value] : states->entries) {
      const auto named = name_of_.find(integer(*key, "state"));
      if (named == name_of_.end()) refuse("has state of parameter {}, which is in no group", *key->get_if<int64_t>());
      const auto* state = value->get_if<PickleDict>();
      if (state == nullptr) refuse("has as state of parameter '{}' {}", named->second, describe(*value));
      read_state(kind, named->second, *state, result.state);
    }
  }

  void read_state(OptimizerKind kind, const std::string& parameter, const PickleDict& state,
                  std::vector<NamedTensor>& result) const {
    std::set<std::string_view> known;
    for (const StateField& field : state_fields({.kind = kind})) {
      known.insert(field.name);
      const PicklePtr value = find_string(state, field.name);
      if (value == nullptr || value->is<weights::PickleNone>()) continue;  // SGD without momentum writes None
      const auto* reference = value->get_if<weights::TensorRef>();
      if (reference == nullptr) refuse("needs a tensor as '{}' of parameter '{}'", field.name, parameter);
      result.push_back({std::string(field.name) + "/" + parameter, archive_.tensor(*reference)});
    }
    if (counts_steps(kind)) {
      known.insert("step");
      const PicklePtr step = find_string(state, "step");  // an integer before torch 1.12, then a tensor
      const auto number = step == nullptr ? std::nullopt : real(*step);
      if (!number) refuse("needs a number as 'step' of parameter '{}'", parameter);
      const std::optional<int64_t> updates = update_count(*number);
      if (!updates) refuse("needs a number of updates as 'step' of parameter '{}', got {}", parameter, *number);
      result.push_back({"step/" + parameter, at::scalar_tensor(*updates, at::kLong)});
    }
    for (const auto& [key, value] : state.entries) {
      const std::string* name = text_of(*key);
      if (name == nullptr || !known.contains(*name)) {
        refuse("has a state '{}' of parameter '{}', which {} does not know", name == nullptr ? describe(*key) : *name,
               parameter, optimizer_name(kind));
      }
    }
  }

  const weights::PickleArchive& archive_;
  const TorchOptimizerOptions& options_;
  const PickleDict& dict_;
  std::map<int64_t, std::string> name_of_;
};

std::vector<std::string> names_of(const std::vector<NamedTensor>& parameters) {
  std::vector<std::string> names;
  names.reserve(parameters.size());
  for (const NamedTensor& parameter : parameters) names.push_back(parameter.name);
  return names;
}

/// The file's settings of each of the optimizer's groups.
std::vector<OptimizerOptions> settings_for(const Optimizer& optimizer, const TorchOptimizer& file,
                                           const std::string& path) {
  std::map<std::string_view, std::size_t> group_of;
  for (std::size_t i = 0; i < file.groups.size(); ++i) {
    for (const std::string& name : file.groups[i].parameters) group_of.emplace(name, i);
  }
  std::vector<OptimizerOptions> result;
  for (const OptimizerGroup& group : optimizer.groups()) {
    std::set<std::size_t> seen;
    for (const NamedTensor& parameter : group.parameters) {
      const auto found = group_of.find(parameter.name);
      LIMBECK_CHECK(found != group_of.end(), "[torch_optimizer] {}: parameter '{}' is in none of its groups", path,
                    parameter.name);
      seen.insert(found->second);
      LIMBECK_CHECK(
          seen.size() == 1,
          "[torch_optimizer] {}: parameters '{}' and '{}' are in two groups there and in one here. Make groups "
          "as the file has them, or keep your settings with LoadedSettings::own",
          path, group.parameters.front().name, parameter.name);
    }
    OptimizerOptions options = file.groups[*seen.begin()].options;
    options.master_weights = group.options.master_weights;
    result.push_back(std::move(options));
  }
  return result;
}

}  // namespace

TorchOptimizer read_torch_optimizer(const std::string& path, OptimizerKind kind, const TorchOptimizerOptions& options) {
  const weights::PickleArchive archive = weights::read_pickle_archive(path);
  TorchOptimizer result = DictReader(archive, options).read(kind);
  for (NamedTensor& entry : result.state) entry.tensor = entry.tensor.clone();  // the archive's mapping may go
  return result;
}

int64_t read_torch_epoch(const std::string& path) {
  const weights::PickleArchive archive = weights::read_pickle_archive(path);
  const auto* top = archive.root().get_if<PickleDict>();
  const PicklePtr epoch = top == nullptr ? nullptr : find_string(*top, "epoch");
  const auto* number = epoch == nullptr ? nullptr : epoch->get_if<int64_t>();
  LIMBECK_CHECK(number != nullptr && *number >= 0,
                "[torch_optimizer] {}: no number of epochs under 'epoch' (torch.save({{'epoch': 5, ...}})). Leave "
                "resume_epoch out to begin at the first one",
                archive.where());
  return *number;
}

void load_torch_optimizer(const std::string& path, Optimizer& optimizer, const TorchOptimizerOptions& options) {
  TorchOptimizerOptions ordered = options;
  if (ordered.parameter_order.empty()) ordered.parameter_order = names_of(optimizer.parameters());
  const TorchOptimizer file = read_torch_optimizer(path, optimizer.kind(), ordered);
  const bool takes_settings = options.settings == LoadedSettings::of_file;
  const std::vector<OptimizerOptions> settings =
      takes_settings ? settings_for(optimizer, file, path) : std::vector<OptimizerOptions>();
  for (const OptimizerOptions& group : settings) group.validate();
  optimizer.load_state(file.state);
  for (std::size_t i = 0; i < settings.size(); ++i) optimizer.set_options(i, settings[i]);
}

}  // namespace limbeck::train
