// From a state dict into a model's tensors: first every reason against it is found, then everything is copied.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <unordered_map>

#include "limbeck/core/error.h"
#include "limbeck/graph/weights/state_dict.h"
#include "limbeck/graph/weights/tensors.h"

namespace limbeck::weights {
namespace {

constexpr std::string_view kBatchCounter = "num_batches_tracked";
/// Names listed of one kind of mismatch before "and N more".
constexpr std::size_t kMaxListed = 20;

bool is_batch_counter(std::string_view name) { return name == kBatchCounter || name.ends_with(".num_batches_tracked"); }

using Index = std::unordered_map<std::string_view, const at::Tensor*>;

/// Element for element the same bits, NaN included.
bool is_bit_equal(const at::Tensor& a, const at::Tensor& b) {
  if (a.sizes() != b.sizes() || a.scalar_type() != b.scalar_type()) return false;
  if (is_same_view(a, b)) return true;
  const at::Tensor x = a.cpu().contiguous();
  const at::Tensor y = b.cpu().contiguous();
  return x.nbytes() == 0 || std::memcmp(x.const_data_ptr(), y.const_data_ptr(), x.nbytes()) == 0;
}

/// Pairs the file's tensors with a model's, by name.
class Matcher {
 public:
  Matcher(const StateDict& file, std::span<const NamedTensor> targets, const MatchOptions& options)
      : file_(file), targets_(targets), options_(options) {
    for (const NamedTensor& target : targets) expected_.emplace(target.name, &target.tensor);
    const bool wrapped = !file.stripped_prefix.empty() && !targets.empty() &&
                         std::all_of(targets.begin(), targets.end(), [&](const NamedTensor& target) {
                           return target.name.starts_with(file.stripped_prefix);
                         });
    for (const NamedTensor& entry : file.tensors) {
      names_.push_back(wrapped ? file.stripped_prefix + entry.name : entry.name);
    }
    for (std::size_t i = 0; i < names_.size(); ++i) given_.emplace(names_[i], &file.tensors[i].tensor);
    has_batch_counters_ = std::any_of(names_.begin(), names_.end(), is_batch_counter);
    for (const NamedTensor& target : targets) {
      if (!given_.contains(target.name)) continue;
      by_memory_.emplace(target.tensor.const_data_ptr(), &target);
    }
  }

  std::vector<std::string> mismatches() const {
    std::vector<std::string> lines;
    add_missing(lines);
    add_unexpected(lines);
    add_different(lines);
    add_untied(lines);
    add_advice(lines);
    return lines;
  }

  void copy() const {
    const at::NoGradGuard no_grad;
    for (const NamedTensor& target : targets_) {
      at::Tensor destination = target.tensor;
      const auto given = given_.find(target.name);
      if (given != given_.end()) {
        destination.copy_(*given->second);
      } else if (tied_to(target) == nullptr) {
        destination.zero_();  // a batch counter that the file is too old to have
      }
    }
  }

 private:
  /// Another target over the same memory that the file has; null for none. Empty tensors have no memory to share.
  const NamedTensor* tied_to(const NamedTensor& target) const {
    if (target.tensor.numel() == 0) return nullptr;
    const auto found = by_memory_.find(target.tensor.const_data_ptr());
    if (found == by_memory_.end() || found->second->name == target.name) return nullptr;
    return is_same_view(found->second->tensor, target.tensor) ? found->second : nullptr;
  }

  bool may_be_absent(const NamedTensor& target) const {
    return (is_batch_counter(target.name) && !has_batch_counters_) || tied_to(target) != nullptr;
  }

  static void add_names(std::vector<std::string>& lines, std::string_view kind, const std::vector<std::string>& names,
                        const std::vector<std::string>& candidates) {
    for (std::size_t i = 0; i < std::min(names.size(), kMaxListed); ++i) {
      const std::string near = nearest_names(names[i], candidates);
      lines.push_back(fmt::format("{} '{}'{}", kind, names[i], near.empty() ? "" : " (nearest: " + near + ")"));
    }
    if (names.size() > kMaxListed) lines.push_back(fmt::format("and {} more {}", names.size() - kMaxListed, kind));
  }

  void add_missing(std::vector<std::string>& lines) const {
    std::vector<std::string> missing;
    for (const NamedTensor& target : targets_) {
      if (!given_.contains(target.name) && !may_be_absent(target)) missing.push_back(target.name);
    }
    add_names(lines, "missing in the file:", missing, unused());
  }

  std::vector<std::string> unused() const {
    std::vector<std::string> names;
    for (const std::string& name : names_) {
      if (!expected_.contains(name)) names.push_back(name);
    }
    return names;
  }

  void add_unexpected(std::vector<std::string>& lines) const {
    std::vector<std::string> model;
    for (const NamedTensor& target : targets_) model.push_back(target.name);
    add_names(lines, "not in the model:", unused(), model);
  }

  void add_different(std::vector<std::string>& lines) const {
    std::size_t left = kMaxListed;
    for (const NamedTensor& target : targets_) {
      const auto given = given_.find(target.name);
      if (given == given_.end()) continue;
      const std::string line = difference(target, *given->second);
      if (!line.empty() && left-- > 0) lines.push_back(line);
      if (left == 0) return;
    }
  }

  std::string difference(const NamedTensor& target, const at::Tensor& given) const {
    const at::Tensor& tensor = target.tensor;
    if (given.sizes() != tensor.sizes()) {
      return fmt::format("size mismatch for '{}': file has [{}], model has [{}]", target.name,
                         fmt::join(given.sizes(), ", "), fmt::join(tensor.sizes(), ", "));
    }
    const bool convertible = options_.convert_floats && given.is_floating_point() && tensor.is_floating_point();
    if (given.scalar_type() == tensor.scalar_type() || convertible) return {};
    return fmt::format("element type mismatch for '{}': file has {}, model has {}.{}", target.name,
                       c10::toString(given.scalar_type()), c10::toString(tensor.scalar_type()),
                       given.is_floating_point() && tensor.is_floating_point()
                           ? " Save the weights in the model's type, or ask for MatchOptions::convert_floats in C++"
                           : "");
  }

  /// Where nothing but one module's number of outputs differs, it is most often a head for another number of classes.
  void add_advice(std::vector<std::string>& lines) const {
    std::optional<std::string_view> head;
    int64_t in_file = 0, in_model = 0;
    for (const NamedTensor& target : targets_) {
      const auto found = given_.find(target.name);
      if (found == given_.end() || found->second->sizes() == target.tensor.sizes()) continue;
      const at::Tensor &tensor = target.tensor, &given = *found->second;
      const std::string_view module = std::string_view(target.name).substr(0, target.name.rfind('.'));
      const bool is_elsewhere = module == target.name || (head && module != *head);
      if (is_elsewhere || tensor.dim() == 0 || given.dim() != tensor.dim()) return;
      if (given.sizes().slice(1) != tensor.sizes().slice(1)) return;
      head = module;
      in_file = given.size(0);
      in_model = tensor.size(0);
    }
    if (!head) return;
    lines.push_back(fmt::format(
        "Load the file into a model of {} classes, or replace the classifier '{}' by one of {}: `replace_head: {{at: "
        "{}, "
        "classes: {}}}` beside `weights` in a recipe (--model.replace_head.at {} --model.replace_head.classes {}), "
        "replace_head after loading in C++ and Python",
        in_file, *head, in_model, *head, in_model, *head, in_model));
  }

  /// Tied targets are one tensor, so the file must give them one value.
  void add_untied(std::vector<std::string>& lines) const {
    for (const NamedTensor& target : targets_) {
      const NamedTensor* other = tied_to(target);
      const auto given = given_.find(target.name);
      if (other == nullptr || given == given_.end()) continue;
      if (is_bit_equal(*given->second, *given_.at(other->name))) continue;
      lines.push_back(
          fmt::format("'{}' and '{}' are one tensor in the model and differ in the file", other->name, target.name));
    }
  }

  const StateDict& file_;
  std::span<const NamedTensor> targets_;
  const MatchOptions& options_;
  std::vector<std::string> names_;  ///< The file's names as the model would have them.
  Index expected_;
  Index given_;
  std::unordered_map<const void*, const NamedTensor*> by_memory_;
  bool has_batch_counters_ = false;
};

}  // namespace

std::vector<std::string> find_mismatches(const StateDict& file, std::span<const NamedTensor> targets,
                                         const MatchOptions& options) {
  return Matcher(file, targets, options).mismatches();
}

void check_fits(const StateDict& file, std::span<const NamedTensor> targets, const MatchOptions& options) {
  const std::vector<std::string> lines = find_mismatches(file, targets, options);
  if (lines.empty()) return;
  fail<InvalidArgument>("[weights] {} does not fit the model:\n  {}",
                        file.source.empty() ? "the state dict" : file.source, fmt::join(lines, "\n  "));
}

void copy_into(const StateDict& file, std::span<const NamedTensor> targets, const MatchOptions& options) {
  check_fits(file, targets, options);
  Matcher(file, targets, options).copy();
}

}  // namespace limbeck::weights
