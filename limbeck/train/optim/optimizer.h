// Optimizers over named parameters, with groups by pattern and a state that is saved by name.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "limbeck/graph/weights/tensor_storage.h"
#include "limbeck/train/optim/gradients.h"

namespace limbeck::train {

enum class OptimizerKind : uint8_t {
  sgd,    // torch::optim::SGD
  adamw,  // torch::optim::AdamW: Loshchilov and Hutter 2019 (arXiv:1711.05101)
};
std::string_view optimizer_name(OptimizerKind kind);
/// Throws InvalidArgument naming the valid ones.
OptimizerKind parse_optimizer(std::string_view name);

/// Parameters whose names match `pattern` (ECMAScript, anywhere) take these settings instead of the optimizer's.
struct GroupOptions {
  std::string pattern;
  std::optional<double> lr{};
  std::optional<double> weight_decay{};
};

struct OptimizerOptions {
  OptimizerKind kind = OptimizerKind::sgd;
  double lr = 0.1;
  double weight_decay = 0;             // L2 penalty for sgd, decoupled for adamw
  double momentum = 0.9;               // sgd
  bool nesterov = false;               // sgd
  double beta1 = 0.9, beta2 = 0.999;   // adamw
  double eps = 1e-8;                   // adamw
  std::vector<GroupOptions> groups{};  // the first that matches counts

  /// Throws InvalidArgument if a field is out of range.
  void validate() const;
};

class Optimizer {
 public:
  /// Takes every parameter that requires a gradient, each tensor once. Throws InvalidArgument if there is none, a
  /// pattern matches none, or an option is out of range.
  Optimizer(const std::vector<NamedTensor>& parameters, const OptimizerOptions& options);
  ~Optimizer();
  Optimizer(Optimizer&&) noexcept;
  Optimizer& operator=(Optimizer&&) noexcept;

  /// One update from the gradients, at `lr_factor` times each group's learning rate.
  void step(double lr_factor);
  /// Forgets the gradients (sets them undefined).
  void zero_grad();
  /// All parameters that it updates.
  const std::vector<NamedTensor>& parameters() const;

  /// State as tensors: "momentum_buffer/conv1.weight", "exp_avg/...", "exp_avg_sq/...", "step/...".
  std::vector<NamedTensor> state() const;
  /// Restores state(). Throws InvalidArgument for a name or shape that does not belong to these parameters.
  void load_state(const std::vector<NamedTensor>& state);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace limbeck::train
