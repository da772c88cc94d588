// What optimize() did with each model and optimizer, what it left, and why.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "limbeck/core/json/json.h"
#include "limbeck/train/precision.h"
#include "limbeck/train/sets/role.h"
#include "limbeck/train/sets/set_member.h"

namespace limbeck::train {

struct ModelReport {
  std::string name, type;
  Role role;
  std::string role_reason;             // why it has the role where the user gave none; else empty
  int64_t parameters = 0;              // tensors
  int64_t trained = 0;                 // of them: updated by an optimizer of the set
  int64_t frozen = 0;                  // requires_grad is off
  std::vector<std::string> unowned{};  // of a trained model: require a gradient, no optimizer owns them
  std::vector<std::string> shared{};   // "'backbone.conv.weight' with 'student'"
  MemberNotes notes{};
};

struct OptimizerReport {
  std::string type;
  int64_t groups = 0;
  int64_t parameters = 0;             // tensors
  int64_t frozen = 0;                 // of them: requires_grad is off, passed over as PyTorch does
  int64_t of_frozen_models = 0;       // of them: of models that no role trains, never updated
  std::vector<std::string> models{};  // that it owns parameters of
  bool is_fused = false;
  std::string reason;       // how it steps, and why
  int64_t state_bytes = 0;  // that it keeps of them now
  bool is_idle = false;     // owns nothing that a role trains
};

struct SetReport {
  Precision precision = Precision::fp32;
  std::string precision_note;  // how this machine computes it
  std::vector<ModelReport> models{};
  std::vector<OptimizerReport> optimizers{};
  std::vector<std::string> warnings{};

  /// Plain text in 80 columns.
  std::string text() const;
  core::Json json() const;
};

}  // namespace limbeck::train
