// A dynamic loss scale for float16 training (Micikevicius et al. 2018, arXiv:1710.03740, section 3.2), with the rule
// and the defaults of torch.amp.GradScaler.
#pragma once

#include <cstdint>

#include "limbeck/core/json/json.h"

namespace limbeck::train {

struct LossScalerOptions {
  double initial_scale = 65536;    // 2^16
  double growth_factor = 2;        // after growth_interval steps without overflow
  double backoff_factor = 0.5;     // after a step with one
  int64_t growth_interval = 2000;  // steps
  int64_t max_skips = 50;          // steps skipped in a row before training is given up

  /// Throws InvalidArgument if a field is out of range.
  void validate() const;
};

class LossScaler {
 public:
  /// Throws InvalidArgument if an option is out of range.
  explicit LossScaler(const LossScalerOptions& options = {});

  /// What the loss is multiplied by.
  double scale() const { return scale_; }
  /// Steps without overflow since the scale last changed.
  int64_t growth_steps() const { return growth_steps_; }
  int64_t skips_in_a_row() const { return skips_; }

  /// After each step: whether a scaled gradient was infinite or NaN, so that the step was skipped. Throws
  /// InvalidArgument after max_skips of them in a row: no scale mends what is not finite without one.
  void update(bool has_overflown);

  /// Scale and counters, for checkpoints.
  core::Json state() const;
  /// Restores state(). Throws IoError for what is no such state.
  void load_state(const core::Json& state);

 private:
  LossScalerOptions options_;
  double scale_;
  int64_t growth_steps_ = 0, skips_ = 0;
};

}  // namespace limbeck::train
