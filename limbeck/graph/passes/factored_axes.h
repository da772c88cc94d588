// Where the batch stands in the axes of a tensor.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "limbeck/graph/int_expr.h"

namespace limbeck::passes {

/// An axis of size outer * B * inner; without the batch, of size `inner` (and outer is 1).
struct FactoredAxis {
  int64_t outer = 1;
  bool has_batch = false;
  int64_t inner = 1;

  int64_t size(int64_t batch) const { return outer * (has_batch ? batch : 1) * inner; }
  graph::IntExpr expression(graph::IntExpr batch) const {
    return graph::IntExpr(outer) * (has_batch ? batch : graph::IntExpr(1)) * graph::IntExpr(inner);
  }
  friend bool operator==(const FactoredAxis&, const FactoredAxis&) = default;
};
using FactoredShape = std::vector<FactoredAxis>;

/// All ways in which a view of `from` with the sizes `to` (at batch size `batch`) can carry the batch, best first: an
/// axis that is the batch alone, then the batch as outermost factor, then as inner one. Empty when the batch would be
/// torn apart. `from` has the batch in at most one axis.
std::vector<FactoredShape> reshaped(const FactoredShape& from, std::span<const int64_t> to, int64_t batch);

}  // namespace limbeck::passes
