// What a role decides around one run of its model.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include <optional>
#include <span>
#include <vector>

#include "limbeck/model/model.h"
#include "limbeck/train/precision.h"
#include "limbeck/train/role.h"
#include "limbeck/train/set_member.h"

namespace limbeck::train {

/// RAII: gradient recording and autocast as `role` and `precision` want them; restores what was before. A run whose
/// role trains nothing records gradients only where an input requires one, and then not for `parameters`.
class RoleScope {
 public:
  RoleScope(const Role& role, Precision precision, std::span<const NamedTensor> parameters,
            std::span<const at::Tensor> inputs);
  ~RoleScope();
  RoleScope(const RoleScope&) = delete;
  RoleScope& operator=(const RoleScope&) = delete;

  /// Mode and buffer writes of the run, without taps.
  const MemberRun& run() const { return run_; }

 private:
  MemberRun run_;
  std::vector<at::Tensor> held_;  // parameters whose requires_grad is off for the time of the run
  c10::AutoGradMode gradients_;
  std::optional<Autocast> autocast_;
};

}  // namespace limbeck::train
