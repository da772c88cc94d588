#include "limbeck/graph/capture/pair/align.h"

#include <algorithm>

#include "limbeck/core/error.h"

namespace limbeck::capture {

namespace {

using Pairs = std::vector<std::pair<std::size_t, std::size_t>>;
enum Step : uint8_t { kMatch, kSkipA, kSkipB };

/// The classic table, of which only directions are kept: two rows of lengths and a byte per cell.
void align_middle(std::span<const uint32_t> a, std::span<const uint32_t> b, std::size_t offset, Pairs& pairs) {
  constexpr std::size_t kMaxCells = 1'000'000'000;
  if (!a.empty() && b.size() > kMaxCells / a.size())
    fail<Unsupported>("[capture] exports of {} and {} nodes differ too much to be merged", a.size(), b.size());
  const std::size_t width = b.size() + 1;
  std::vector<uint8_t> steps(a.size() * b.size());
  std::vector<uint32_t> below(width, 0), row(width, 0);  // lengths for suffixes: filled from the end
  for (std::size_t i = a.size(); i-- > 0;) {
    for (std::size_t j = b.size(); j-- > 0;) {
      uint8_t& step = steps[i * b.size() + j];
      if (a[i] == b[j]) {
        row[j] = below[j + 1] + 1;
        step = kMatch;
      } else {
        step = below[j] >= row[j + 1] ? kSkipA : kSkipB;
        row[j] = std::max(below[j], row[j + 1]);
      }
    }
    std::swap(row, below);
  }
  for (std::size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    const uint8_t step = steps[i * b.size() + j];
    if (step == kMatch) pairs.emplace_back(offset + i, offset + j);
    i += step != kSkipB ? 1 : 0;
    j += step != kSkipA ? 1 : 0;
  }
}

}  // namespace

Pairs longest_common_subsequence(std::span<const uint32_t> a, std::span<const uint32_t> b) {
  Pairs pairs;
  const std::size_t limit = std::min(a.size(), b.size());
  std::size_t start = 0, end = 0;
  while (start < limit && a[start] == b[start]) ++start;
  while (end < limit - start && a[a.size() - 1 - end] == b[b.size() - 1 - end]) ++end;
  for (std::size_t i = 0; i < start; ++i) pairs.emplace_back(i, i);
  align_middle(a.subspan(start, a.size() - start - end), b.subspan(start, b.size() - start - end), start, pairs);
  for (std::size_t i = end; i-- > 0;) pairs.emplace_back(a.size() - 1 - i, b.size() - 1 - i);
  return pairs;
}

}  // namespace limbeck::capture
