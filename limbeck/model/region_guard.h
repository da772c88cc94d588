// The context managers of Python's forward (torch.no_grad, torch.autocast) around a run of nodes.
#pragma once

#include <c10/core/GradMode.h>

#include <optional>

#include "limbeck/graph/graph.h"
#include "limbeck/model/model.h"

namespace limbeck {

/// RAII: the conditions of `region`; restores what was before.
class RegionGuard {
 public:
  explicit RegionGuard(const graph::Region& region);
  ~RegionGuard();
  RegionGuard(const RegionGuard&) = delete;
  RegionGuard& operator=(const RegionGuard&) = delete;

 private:
  std::optional<c10::AutoGradMode> grad_mode_;
  bool previous_cache_enabled_;
  std::optional<Autocast> autocast_;
};

}  // namespace limbeck
