// Options that are ranges or sizes, as torchvision writes them: lists of one or two numbers.
#pragma once

#include "limbeck/data/transforms/pixels/resize.h"

#include <string>
#include <vector>

namespace limbeck::data {

/// Throws InvalidArgument, naming `option`, unless `range` holds two finite numbers low <= high within [lowest,
/// highest].
void check_range(const std::vector<double>& range, double lowest, double highest, const std::string& option);

/// Throws InvalidArgument unless 0 <= probability <= 1.
void check_probability(double probability, const std::string& transform);

/// {side} or {height, width} as a size. Throws InvalidArgument, naming the transform, unless sides are 1..kMaxSide.
Size to_size(const std::vector<std::int64_t>& size, const std::string& transform);

}  // namespace limbeck::data
