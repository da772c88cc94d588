// What a role decides around one run of its model.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include <optional>
#include <span>
#include <vector>

#include "limbeck/model/model.h"
#include "limbeck/model/precision/weight_cache.h"
#include "limbeck/train/precision.h"
#include "limbeck/train/sets/role.h"
#include "limbeck/train/sets/set_member.h"

namespace limbeck::train {

/// Mode, buffer writes and fusion of the runs of a model with that role; eval runs fuse nothing.
MemberRun run_of(const Role& role, Fusion fusion);

/// RAII: whether autocast keeps the casts of weights, in this thread.
class AutocastCacheMode {
 public:
  explicit AutocastCacheMode(bool enabled);
  ~AutocastCacheMode();
  AutocastCacheMode(const AutocastCacheMode&) = delete;
  AutocastCacheMode& operator=(const AutocastCacheMode&) = delete;

 private:
  bool previous_;
};

/// RAII: parameters that require no gradient while it lives.
class FrozenParameters {
 public:
  FrozenParameters() = default;
  ~FrozenParameters();
  FrozenParameters(const FrozenParameters&) = delete;
  FrozenParameters& operator=(const FrozenParameters&) = delete;

  /// Nothing where it requires none as it is.
  void add(const at::Tensor& parameter);

 private:
  std::vector<at::Tensor> tensors_;
};

/// RAII: gradient recording and autocast as `role` and `precision` want them; restores what was before. A run whose
/// role trains nothing records gradients only where an input requires one, and then not for `parameters`. Weights in
/// low precision come from `weights`, which must outlive it.
class RoleScope {
 public:
  RoleScope(MemberRun run, const Role& role, Precision precision, std::span<const NamedTensor> parameters,
            std::span<const at::Tensor> inputs, WeightCache& weights);
  RoleScope(const RoleScope&) = delete;
  RoleScope& operator=(const RoleScope&) = delete;

  /// The run, without taps.
  const MemberRun& run() const { return run_; }

 private:
  MemberRun run_;
  // Each restores what it changed, also where the constructor of a later one or of the scope itself throws.
  c10::AutoGradMode gradients_;
  AutocastCacheMode cache_;
  std::optional<Autocast> autocast_;
  std::optional<WeightCacheScope> weights_;
  FrozenParameters frozen_;
};

}  // namespace limbeck::train
