#include "limbeck/data/transforms/ranges.h"

#include "limbeck/core/error.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace limbeck::data {

void check_range(const std::vector<double>& range, double lowest, double highest, const std::string& option) {
  const bool is_right = range.size() == 2 && range[0] >= lowest && range[0] <= range[1] && range[1] <= highest;
  LIMBECK_CHECK(is_right, "[data] {} must be two numbers, low and high, within {}..{}, got [{}].", option, lowest,
                highest, fmt::join(range, ", "));
}

void check_probability(double probability, const std::string& transform) {
  LIMBECK_CHECK(probability >= 0 && probability <= 1, "[data] {}: the probability must lie in 0..1, got {}.", transform,
                probability);
}

Size to_size(const std::vector<std::int64_t>& size, const std::string& transform) {
  const auto is_side = [](std::int64_t side) { return side >= 1 && side <= kMaxSide; };
  const bool is_right = !size.empty() && size.size() <= 2 && is_side(size.front()) && is_side(size.back());
  LIMBECK_CHECK(is_right, "[data] {}: size must be one side or height and width, 1 to {} pixels, got [{}].", transform,
                kMaxSide, fmt::join(size, ", "));
  return {size.front(), size.back()};
}

}  // namespace limbeck::data
