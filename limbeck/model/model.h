// Model: the handle that users hold. It runs a graph on ATen, op by op through the dispatcher, so autograd, autocast
// and every libtorch device work, and outputs, gradients and buffers have the bits of Python eager on the same
// libtorch.
//
// A copied Model is a handle on the same model (as in Python); clone() makes a second one. Mode belongs to the handle's
// state, never to the graph or its file. One Model may be run by one thread at a time.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "limbeck/graph/graph.h"
#include "limbeck/graph/passes/fusion.h"
#include "limbeck/graph/weights/tensor_storage.h"

namespace limbeck {

using weights::NamedTensor;

/// Inputs of a run: by position or by name (a graph input's name).
class Inputs {
 public:
  Inputs() = default;
  Inputs(at::Tensor x) { tensors_.push_back({"", std::move(x)}); }  // implicit: most models take one tensor
  Inputs(std::vector<NamedTensor> tensors) : tensors_(std::move(tensors)) {}
  const std::vector<NamedTensor>& tensors() const { return tensors_; }

 private:
  std::vector<NamedTensor> tensors_;  // an empty name means: by position
};

/// What a run gave back: outputs in the flattened order of the model's output tree, named as in the graph, and taps.
class Outputs {
 public:
  std::vector<NamedTensor> tensors;
  std::vector<NamedTensor> taps;  // by the name asked for

  /// The output that classifies: one named "logits", else the first floating-point [B, C] output, else the first.
  const at::Tensor& logits() const;
  /// Throws InvalidArgument naming the nearest output or tap.
  const at::Tensor& operator[](std::string_view name) const;
  const at::Tensor& tap(std::string_view name) const;
};

enum class StateUpdates : uint8_t { apply, discard };  // running statistics and other buffer writes
/// none: op by op, with the bits of PyTorch eager. training: what runs in train mode is fused (limbeck/graph/fused),
/// equal up to rounding; fused ops have the same bits for any number of threads.
enum class Fusion : uint8_t { none, training };

struct RunOptions {
  std::vector<std::string> taps{};  // scope[@call][#i] or value names, returned beside the outputs with gradients
  StateUpdates state_updates = StateUpdates::apply;
  /// train or eval for this run, instead of the handle's own mode; scopes that were given a mode of their own keep it.
  std::optional<graph::Mode> mode{};
  Fusion fusion = Fusion::none;
};

struct HeadOptions {
  int64_t classes = 0;  // outputs of the new head
  uint64_t seed = 0;    // of its initial weights (PyTorch's default initialisation of a Linear or Conv2d)
};

class Model {
 public:
  /// Verifies the graph. Throws InvalidArgument with the verifier's findings. Starts in eval mode.
  explicit Model(graph::Graph graph);

  const graph::Graph& graph() const;
  /// Replaces the graph (after a pass); drops prepared runs.
  void set_graph(graph::Graph graph);
  /// An independent copy: own parameters and buffers, same modes.
  Model clone() const;
  /// A model on the same parameters and buffers with modes of its own, eval at first: for running it without a change
  /// of this one's modes. What was accepted (accept_assumptions) holds for it too.
  Model with_own_modes() const;
  /// Another number after every change of the graph: its parameters may then be other tensors.
  uint64_t revision() const;

  // --- parameters ----------------------------------------------------------------------------------------------
  /// Tensors of parameters (not buffers) whose name matches the ECMAScript regular expression `pattern` anywhere; each
  /// tensor once, in the order of the name table. Throws InvalidArgument when a non-empty pattern matches nothing.
  std::vector<at::Tensor> parameters(std::string_view pattern = {}) const;
  std::vector<NamedTensor> named_parameters(std::string_view pattern = {}) const;
  std::vector<NamedTensor> named_buffers() const;
  /// Parameters and persistent buffers under all their names, as Python's state_dict.
  std::vector<NamedTensor> state_dict() const;
  /// Strict: copies into the model's own tensors after every name, shape and dtype was checked; else throws and changes
  /// nothing. Messages name missing, unexpected (with the nearest) and misshapen parameters.
  void load_state_dict(const std::vector<NamedTensor>& tensors);
  /// requires_grad_(false) on matching parameters; returns how many tensors.
  std::size_t freeze(std::string_view pattern);
  void zero_grad();

  // --- mode ----------------------------------------------------------------------------------------------------
  void train(bool on = true);
  void eval() { train(false); }
  bool is_training() const;
  /// Mode of one scope and everything below it; later calls win. The root's outputs follow the root's mode.
  void train(std::string_view scope, bool on);
  void eval(std::string_view scope) { train(scope, false); }
  /// Accepts what the file could not tell about a mode (Graph::assumptions); without it such a run throws Unsupported.
  void accept_assumptions(graph::Mode mode);

  // --- running -------------------------------------------------------------------------------------------------
  /// Runs the graph. Gradients are recorded as c10::GradMode says. Checks inputs against names, dtypes, shapes, ranges
  /// and the export's own checks first: InvalidArgument names the input, what came and what was expected.
  Outputs forward(const Inputs& inputs, const RunOptions& options = {});
  /// What forward() with these options fuses, and what it leaves, with reasons. Empty without Fusion::training.
  passes::FusionReport fusion_report(const RunOptions& options) const;
  at::Tensor operator()(const at::Tensor& x) { return forward(x).logits(); }

  /// Moves parameters, buffers and device or dtype constants. In place, tensors keep their identity where they can.
  void to(at::Device device);
  void to(at::ScalarType dtype);     // floating-point parameters and buffers only
  void to(at::MemoryFormat format);  // channels_last: 4-D parameters, as torch.nn.Module.to

  /// Replaces the linear or 1x1-convolution classifier at `scope` by one with `options.classes` outputs; all other
  /// weights stay. Throws InvalidArgument naming the candidates when `scope` is not a classifier.
  void replace_head(std::string_view scope, const HeadOptions& options);

  /// Writes `.lmb` atomically.
  void save(const std::string& path) const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

/// RAII: autocast on `device` for the enclosing block, as torch.autocast; restores what was before and clears the
/// cache.
class Autocast {
 public:
  explicit Autocast(at::ScalarType dtype, c10::DeviceType device = c10::DeviceType::CPU, bool enabled = true);
  ~Autocast();
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  bool previous_enabled_;
  at::ScalarType previous_dtype_;
  c10::DeviceType device_;
};

}  // namespace limbeck
