#include "limbeck/core/error.h"

#include <algorithm>
#include <cctype>
#include <numeric>
#include <vector>

namespace limbeck {
namespace {

std::string to_lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return result;
}

// Insertions, deletions, substitutions and swaps of neighbours (optimal string alignment).
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1), above(b.size() + 1), row(b.size() + 1);
  std::iota(above.begin(), above.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] != b[j - 1])});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    std::swap(before, above);
    std::swap(above, row);
  }
  return above[b.size()];
}

// Names of which one holds the other ("fc" and "head.fc") count as near at any length.
bool is_part_of(std::string_view a, std::string_view b) {
  const auto [small, large] = a.size() < b.size() ? std::pair(a, b) : std::pair(b, a);
  return small.size() >= 2 && large.find(small) != std::string_view::npos;
}

struct Candidate {
  std::size_t distance;
  const std::string* name;
};

}  // namespace

std::string nearest_names(std::string_view name, std::span<const std::string> candidates, std::size_t limit) {
  const std::string wanted = to_lower(name);
  std::vector<Candidate> near;
  for (const std::string& candidate : candidates) {
    const std::string lower = to_lower(candidate);
    const std::size_t longest = std::max(wanted.size(), lower.size());
    const std::size_t shortest = std::min(wanted.size(), lower.size());
    const std::size_t allowed = std::max<std::size_t>(1, longest / 3);
    const bool part = is_part_of(wanted, lower);
    if (!part && longest - shortest > allowed) continue;  // the lengths alone make it too far
    const std::size_t distance = edit_distance(wanted, lower);
    if (part || (distance <= allowed && distance < longest)) near.push_back({distance, &candidate});
  }
  std::stable_sort(near.begin(), near.end(), [](const auto& a, const auto& b) { return a.distance < b.distance; });
  std::string result;
  for (std::size_t i = 0; i < std::min(limit, near.size()); ++i) {
    if (i > 0) result += ", ";
    result += *near[i].name;
  }
  return result;
}

std::string nearest_hint(std::string_view name, std::span<const std::string> candidates) {
  const std::string nearest = nearest_names(name, candidates);
  return nearest.empty() ? nearest : " Nearest: " + nearest + ".";
}

}  // namespace limbeck
