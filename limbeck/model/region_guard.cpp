#include "limbeck/model/region_guard.h"

#include <ATen/autocast_mode.h>

namespace limbeck {

RegionGuard::RegionGuard(const graph::Region& region)
    : previous_cache_enabled_(at::autocast::is_autocast_cache_enabled()) {
  if (region.grad_enabled) grad_mode_.emplace(*region.grad_enabled);
  if (!region.autocast) return;
  autocast_.emplace(region.autocast->dtype, region.autocast->device_type, region.autocast->enabled);
  at::autocast::set_autocast_cache_enabled(region.autocast->cache_enabled);
}

RegionGuard::~RegionGuard() {
  if (autocast_) at::autocast::set_autocast_cache_enabled(previous_cache_enabled_);
}

}  // namespace limbeck
