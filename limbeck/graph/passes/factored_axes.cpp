#include "limbeck/graph/passes/factored_axes.h"

#include <algorithm>

namespace limbeck::passes {

namespace {

FactoredShape without_batch(std::span<const int64_t> sizes) {
  FactoredShape shape;
  for (const int64_t size : sizes) shape.push_back({.inner = size});
  return shape;
}

/// 0 is best.
int rank_of(const FactoredAxis& axis) {
  if (axis.outer == 1) return axis.inner == 1 ? 0 : 1;
  return axis.inner == 1 ? 2 : 3;
}

}  // namespace

std::vector<FactoredShape> reshaped(const FactoredShape& from, std::span<const int64_t> to, int64_t batch) {
  int64_t before = 1;  // elements outside the batch: product of all that stands left of it
  const FactoredAxis* batched = nullptr;
  for (const FactoredAxis& axis : from) {
    if (axis.has_batch) {
      batched = &axis;
      before *= axis.outer;
      break;
    }
    before *= axis.inner;
  }
  if (batched == nullptr) return {without_batch(to)};
  std::vector<std::pair<int, FactoredShape>> candidates;
  int64_t start = 1;  // product of the axes left of `axis`
  for (std::size_t axis = 0; axis < to.size(); ++axis) {
    const int64_t size = to[axis];
    if (size > 0 && start > 0 && before % start == 0 && size % batch == 0) {
      const int64_t outer = before / start, rest = size / batch;
      if (rest % outer == 0) {
        FactoredShape shape = without_batch(to);
        shape[axis] = {.outer = outer, .has_batch = true, .inner = rest / outer};
        candidates.emplace_back(rank_of(shape[axis]), std::move(shape));
      }
    }
    start *= size;
  }
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<FactoredShape> shapes;
  for (auto& candidate : candidates) shapes.push_back(std::move(candidate.second));
  return shapes;
}

}  // namespace limbeck::passes
