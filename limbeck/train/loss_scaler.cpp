#include "limbeck/train/loss_scaler.h"

#include "limbeck/core/error.h"

namespace limbeck::train {

void LossScalerOptions::validate() const {
  LIMBECK_CHECK(initial_scale > 0, "[scaler] initial_scale must be above 0, got {}", initial_scale);
  LIMBECK_CHECK(growth_factor > 1, "[scaler] growth_factor must be above 1, got {}", growth_factor);
  LIMBECK_CHECK(backoff_factor > 0 && backoff_factor < 1, "[scaler] backoff_factor must lie between 0 and 1, got {}",
                backoff_factor);
  LIMBECK_CHECK(growth_interval >= 1, "[scaler] growth_interval must be at least 1, got {}", growth_interval);
  LIMBECK_CHECK(max_skips >= 1, "[scaler] max_skips must be at least 1, got {}", max_skips);
}

LossScaler::LossScaler(const LossScalerOptions& options) : options_(options), scale_(options.initial_scale) {
  options.validate();
}

void LossScaler::update(bool has_overflown) {
  if (has_overflown) {
    scale_ *= options_.backoff_factor;
    growth_steps_ = 0;
    ++skips_;
    LIMBECK_CHECK(skips_ < options_.max_skips,
                  "[scaler] the gradients were not finite in {} steps in a row, down to a loss scale of {}. The loss "
                  "itself is not finite, or float16 is too narrow for this model: use bf16 or fp32.",
                  skips_, scale_);
    return;
  }
  skips_ = 0;
  if (++growth_steps_ < options_.growth_interval) return;
  growth_steps_ = 0;
  const double grown = scale_ * options_.growth_factor;
  if (static_cast<float>(grown) <= 3.4e38F) scale_ = grown;  // the scale stays a finite float32, as GradScaler's
}

core::Json LossScaler::state() const {
  return core::Json::object({{"scale", scale_}, {"growth_steps", growth_steps_}, {"skips_in_a_row", skips_}});
}

void LossScaler::load_state(const core::Json& state) {
  const core::JsonView view(state, "[scaler] state");
  const double scale = view["scale"].as_double();
  if (!(scale > 0)) view["scale"].fail("must be above 0");
  const int64_t growth_steps = view["growth_steps"].as_int(0, INT64_MAX);
  const int64_t skips = view["skips_in_a_row"].as_int(0, INT64_MAX);
  scale_ = scale;
  growth_steps_ = growth_steps;
  skips_ = skips;
}

}  // namespace limbeck::train
