// State dicts: named tensors of a model, whatever file they come from, and their strict way into a model's tensors.
#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "limbeck/graph/weights/tensor_storage.h"

namespace limbeck::weights {

class PickleArchive;

/// Tensors in the file's order. Names are unique, UTF-8; tied tensors share their storage.
struct StateDict {
  std::vector<NamedTensor> tensors;
  std::string source;           ///< The file, for messages.
  std::string key;              ///< Where in the file it stood ("model.state_dict"); empty at its top.
  std::string stripped_prefix;  ///< What every name began with ("module.", "_orig_mod.module."); empty for nothing.
  std::vector<std::string> skipped;  ///< Entries that are no tensors ("head._extra_state").

  const at::Tensor* find(std::string_view name) const;
};

struct LoadOptions {
  /// Where in the file the state dict stands, parts joined by dots ("ema.state_dict"); empty: looked for at the top,
  /// then under model_state_dict, state_dict, model, net, network, module, weights, params, in that order.
  std::string key = {};
  /// Strip the prefixes that wrappers put before every name: `module.` (DataParallel, and AveragedModel, whose own
  /// `n_averaged` is skipped), `_orig_mod.` (torch.compile).
  bool strip_prefixes = true;
};

/// Reads the weights of a .pth (zip or legacy), safetensors or .lmb file; its content decides, not its name. Throws
/// IoError for a damaged file; Unsupported, saying what to do, for a whole pickled nn.Module, TorchScript, .pt2 and
/// foreign formats; InvalidArgument where `key` names nothing, or no state dict is found (listing what is there).
StateDict load_state_dict(const std::string& path, const LoadOptions& options = {});

/// The state dict in a checkpoint that has been read already.
StateDict find_state_dict(const PickleArchive& archive, const LoadOptions& options = {});

struct MatchOptions {
  /// Take float32 weights into a bfloat16 model and the like. Only between floating-point types.
  bool convert_floats = false;
};

/// What keeps `file` from being the weights of a model with these tensors, one line each; empty if nothing does.
/// Every target must be in the file and the other way round, with equal sizes and element type. Allowed: a file that
/// has one of several tied names; a file older than torch 0.4.1 without any `num_batches_tracked`. A model whose names
/// begin with the prefix that was stripped matches too.
std::vector<std::string> find_mismatches(const StateDict& file, std::span<const NamedTensor> targets,
                                         const MatchOptions& options = {});

/// Throws InvalidArgument with the lines of find_mismatches, where there are some.
void check_fits(const StateDict& file, std::span<const NamedTensor> targets, const MatchOptions& options = {});

/// Copies the file's tensors into `targets`, in place and without gradient, after check_fits; what that throws has
/// changed nothing. A missing num_batches_tracked becomes 0.
void copy_into(const StateDict& file, std::span<const NamedTensor> targets, const MatchOptions& options = {});

}  // namespace limbeck::weights
