// Longest common subsequence of two sequences of keys.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace limbeck::capture {

/// Pairs (index in a, index in b) of a longest common subsequence, ascending in both. Quadratic in what is left after
/// the common start and end; throws Unsupported beyond 10^9 comparisons.
std::vector<std::pair<std::size_t, std::size_t>> longest_common_subsequence(std::span<const uint32_t> a,
                                                                            std::span<const uint32_t> b);

}  // namespace limbeck::capture
