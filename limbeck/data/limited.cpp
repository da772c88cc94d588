#include "limbeck/data/limited.h"

#include "limbeck/core/error.h"
#include "limbeck/core/rng.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

namespace limbeck::data {
namespace {

bool shows_every_class(const Dataset& dataset, std::int64_t count) {
  std::set<std::int64_t> seen;
  for (std::int64_t i = 0; i < count; ++i) seen.insert(dataset.label(i));
  return static_cast<std::int64_t>(seen.size()) == dataset.num_classes();
}

// Samples at equal distances in an order by class, and within a class by a fixed permutation: each class has its share,
// and no order of the whole shows through.
std::vector<std::int64_t> shares_of_classes(const Dataset& dataset, std::int64_t count) {
  constexpr std::uint64_t kLimitSeed = 0;  // fixed: the part belongs to the data, not to a run
  core::Rng rng({.seed = kLimitSeed});
  const std::int64_t size = dataset.size();
  std::vector<std::pair<std::int64_t, std::int64_t>> by_class;  // label, index
  for (const std::int64_t index : core::permutation(size, rng)) by_class.emplace_back(dataset.label(index), index);
  std::stable_sort(by_class.begin(), by_class.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::int64_t> rows;
  for (std::int64_t i = 0; i < count; ++i) {
    rows.push_back(by_class[static_cast<std::size_t>((2 * i + 1) * size / (2 * count))].second);
  }
  std::sort(rows.begin(), rows.end());
  return rows;
}

}  // namespace

std::shared_ptr<const Dataset> limited(std::shared_ptr<const Dataset> whole, std::int64_t count) {
  const std::int64_t size = whole->size();
  LIMBECK_CHECK(count >= 0 && count <= size, "[data] {} has {} samples, cannot take {}.", whole->name(), size, count);
  if (count == size) return whole;
  const bool are_files = size > 0 && whole->encoded(0).has_value();
  if (count == 0 || (!are_files && shows_every_class(*whole, count))) return take(std::move(whole), count);
  std::vector<std::int64_t> rows = shares_of_classes(*whole, count);
  std::string name = fmt::format("{}[{} of {}]", whole->name(), count, size);
  return subset(std::move(whole), std::move(rows), std::move(name));
}

}  // namespace limbeck::data
