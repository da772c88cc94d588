// What an optimizer is and how it is set, by itself and by groups of parameters.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "limbeck/train/optim/rules/layerwise.h"

namespace limbeck::train {

enum class OptimizerKind : uint8_t {
  sgd,      // sgd.h
  adamw,    // adam.h with decoupled decay
  adam,     // adam.h with L2
  adagrad,  // adagrad.h
  lamb,     // lamb.h
  lars,     // lars.h
};
std::string_view optimizer_name(OptimizerKind kind);
/// Throws InvalidArgument naming the valid ones.
OptimizerKind parse_optimizer(std::string_view name);

/// Parameters whose names match `pattern` (ECMAScript, anywhere) take these settings instead of the optimizer's.
struct GroupOptions {
  std::string pattern;
  std::optional<double> lr{};
  std::optional<double> weight_decay{};
  std::optional<double> momentum{};
  std::optional<double> beta1{}, beta2{};
  std::optional<double> eps{};
  std::optional<Adaptation> adaptation{};
};

struct AdagradOptions {
  double lr_decay = 0;             // the rate of step t is lr / (1 + t · lr_decay)
  double initial_accumulator = 0;  // where the sums of squares begin
};

struct LayerwiseOptions {
  double trust_coefficient = 0.001;         // lars
  Adaptation adaptation = Adaptation::all;  // lamb, lars
};

/// How a parameter of 16 bits is kept.
enum class MasterWeights : uint8_t {
  none,        // as it is
  split_bf16,  // sgd of bfloat16 parameters: each is the upper half of a float32 whose lower 16 bits are state
};

struct OptimizerOptions {
  OptimizerKind kind = OptimizerKind::sgd;
  double lr = 0.1;
  double weight_decay = 0;  // L2 penalty for sgd, adam, adagrad; decoupled for adamw; in the step for lamb, lars
  double momentum = 0.9;    // sgd, lars
  double dampening = 0;     // sgd
  bool nesterov = false;    // sgd
  double beta1 = 0.9, beta2 = 0.999;  // adam, adamw, lamb
  double eps = 1e-8;                  // adam, adamw, adagrad, lamb
  bool amsgrad = false;               // adam, adamw
  bool maximize = false;              // go up the gradient
  MasterWeights master_weights = MasterWeights::none;
  AdagradOptions adagrad{};
  LayerwiseOptions layerwise{};
  std::vector<GroupOptions> groups{};  // the first that matches counts

  /// Throws InvalidArgument if a field is out of range.
  void validate() const;
};

/// `options` with what `group` sets; without groups of its own.
OptimizerOptions with_overrides(const OptimizerOptions& options, const GroupOptions& group);

}  // namespace limbeck::train
