// Optimizers over named parameters, with groups by pattern and a state that is saved by name. The updates are the fused
// rules of update_rules.h.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "limbeck/graph/weights/tensor_storage.h"
#include "limbeck/train/optim/gradients.h"
#include "limbeck/train/optim/optimizer_options.h"

namespace limbeck::train {

/// Parameters that share their settings.
struct OptimizerGroup {
  std::vector<NamedTensor> parameters;
  OptimizerOptions options;  // without groups of its own
};

/// Not to be used from several threads at a time. The tensors stay the caller's; their state is the optimizer's.
class Optimizer {
 public:
  /// Takes every parameter that requires a gradient, each tensor once. Throws InvalidArgument if there is none, a
  /// pattern matches none, two have one name, or an option is out of range.
  Optimizer(const std::vector<NamedTensor>& parameters, const OptimizerOptions& options);
  ~Optimizer();
  Optimizer(Optimizer&&) noexcept;
  Optimizer& operator=(Optimizer&&) noexcept;

  /// One more group, with settings of its own; `options.groups` is not looked at. Throws InvalidArgument as the
  /// constructor does, and if the kind is another or a parameter is in a group already.
  void add_group(const std::vector<NamedTensor>& parameters, const OptimizerOptions& options);

  /// One update from the gradients, taken times `gradient_scale` (a clipping factor, one over a loss scale), at
  /// `lr_factor` times each group's learning rate. Parameters without gradient are passed over.
  void step(double lr_factor = 1, double gradient_scale = 1);
  /// Forgets the gradients (sets them undefined).
  void zero_grad();

  OptimizerKind kind() const;
  /// All parameters that it updates, in the order in which they were given.
  const std::vector<NamedTensor>& parameters() const;
  const std::vector<OptimizerGroup>& groups() const;
  /// Changes a group's settings; the state stays. Throws InvalidArgument if an option is out of range or the kind or
  /// master_weights are others.
  void set_options(std::size_t group, const OptimizerOptions& options);
  void set_lr(std::size_t group, double lr);

  /// State as tensors: "momentum_buffer/conv1.weight"; "exp_avg/...", "exp_avg_sq/...", "max_exp_avg_sq/...",
  /// "step/..."; "sum/..."; "low_bits/...". Parameters that had no gradient yet have none.
  std::vector<NamedTensor> state() const;
  /// The part of state() that belongs to one parameter; nothing for a tensor that it does not update.
  std::vector<NamedTensor> state_of(const at::Tensor& parameter) const;
  /// Makes the state exactly what is given, copied into the layout of its parameter. Throws InvalidArgument for a name
  /// or shape that does not belong to these parameters, or where a part is missing; then nothing has changed.
  void load_state(const std::vector<NamedTensor>& state);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Plain tensors under the names "0", "1", ...: for an Optimizer without a model.
std::vector<NamedTensor> numbered(std::span<const at::Tensor> tensors);

}  // namespace limbeck::train
