#include <ATen/autocast_mode.h>

#include "limbeck/core/error.h"
#include "limbeck/model/model.h"

namespace limbeck {

// The order of calls is that of torch.autocast's __enter__ and __exit__ (torch/amp/autocast_mode.py).
Autocast::Autocast(at::ScalarType dtype, c10::DeviceType device, bool enabled)
    : previous_enabled_(at::autocast::is_autocast_enabled(device)),
      previous_dtype_(at::autocast::get_autocast_dtype(device)),
      device_(device) {
  LIMBECK_CHECK(!enabled || dtype == at::kBFloat16 || dtype == at::kHalf,
                "[model] autocast takes bfloat16 or float16, got {}", c10::toString(dtype));
  at::autocast::set_autocast_enabled(device, enabled);
  at::autocast::set_autocast_dtype(device, dtype);
  at::autocast::increment_nesting();
}

Autocast::~Autocast() {
  if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(device_, previous_enabled_);
  at::autocast::set_autocast_dtype(device_, previous_dtype_);
}

}  // namespace limbeck
