// The optimizer dictionaries of Python's torch.optim, read and written without Python: SGD, Adam, AdamW, Adagrad.
//   torch.save(optimizer.state_dict(), path)                                 alone, or
//   torch.save({'model_state_dict': ..., 'optimizer_state_dict': ...}, path)
// Python knows a parameter by its position among those that its optimizer was given, so that an order of names is
// needed: that of the Python model's parameters(), frozen ones included. Names in the file (torch.optim's
// `param_names`) count before it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "limbeck/graph/weights/tensor_storage.h"
#include "limbeck/train/optim/optimizer.h"
#include "limbeck/train/optim/optimizer_options.h"

namespace limbeck::train {

/// What a file's dictionary holds, by the names of parameters.
struct TorchOptimizer {
  struct Group {
    std::vector<std::string> parameters;
    OptimizerOptions options;  // as the file has them; `lr` is the current rate, as Python's load_state_dict takes it
  };
  std::vector<Group> groups;
  std::vector<NamedTensor> state;  // as Optimizer::state() names it
};

/// Which settings an optimizer has after a load.
enum class LoadedSettings : uint8_t {
  of_file,  // rates, decays and the rest of each group come from the file, as in Python
  own,      // the optimizer's own; only momentum, moments and steps are taken
};

struct TorchOptimizerOptions {
  /// Names in the order of the Python optimizer's parameters; empty: the order in which ours was given them.
  std::vector<std::string> parameter_order{};
  /// Where the dictionary stands, parts joined by dots; empty: the top, then optimizer_state_dict, optimizer,
  /// optimizer_state, optim, opt, and Lightning's optimizer_states of one.
  std::string key{};
  LoadedSettings settings = LoadedSettings::of_file;
};

/// Reads a dictionary. `kind` decides where the file can't tell Adam from AdamW (torch before 2.7). Throws IoError for
/// a damaged file; Unsupported for a dictionary of another class; InvalidArgument where there is none, its class is not
/// `kind`, or the numbers of parameters differ.
TorchOptimizer read_torch_optimizer(const std::string& path, OptimizerKind kind, const TorchOptimizerOptions& options);

/// The number under 'epoch' beside the dictionary: by PyTorch's examples, how many epochs are done. Throws IoError for
/// a damaged file, InvalidArgument where there is none, or one below 0.
int64_t read_torch_epoch(const std::string& path);

/// Continues in `optimizer` what the file's was doing. Strict: each state must belong to a parameter of `optimizer` and
/// have its shape, and each of its groups must lie in one group of the file. Throws as read_torch_optimizer does, and
/// InvalidArgument that names the parameter; then nothing has changed.
void load_torch_optimizer(const std::string& path, Optimizer& optimizer, const TorchOptimizerOptions& options = {});

/// Writes {'optimizer_state_dict': ...} for torch.optim's load_state_dict, with 'model_state_dict' where `model` (a
/// Model's state_dict()) is not empty. `parameter_order`: the names in the order of the Python model's parameters(),
/// also of those that `optimizer` does not update; empty: its own order. Groups are written in their order. Throws
/// Unsupported for LAMB, LARS and split-bf16 SGD, which PyTorch does not have; InvalidArgument for an order that misses
/// a parameter.
void save_torch_optimizer(const std::filesystem::path& path, const Optimizer& optimizer,
                          std::span<const std::string> parameter_order = {}, std::span<const NamedTensor> model = {});

}  // namespace limbeck::train
