#include "limbeck/graph/capture/pt2/guards.h"

#include <array>
#include <charconv>
#include <string>

#include "limbeck/core/error.h"

namespace limbeck::capture {

using graph::Check;
using graph::IntExpr;

namespace {

const graph::InputSpec* find_input(const std::vector<graph::InputSpec>& inputs, std::string_view name) {
  for (const graph::InputSpec& input : inputs) {
    if (input.name == name) return &input;
  }
  return nullptr;
}

/// Replaces every L['x'].size()[0] by the expression of that size; nullopt when something else of an input is read.
std::optional<std::string> with_sizes(std::string_view text, const std::vector<graph::InputSpec>& inputs) {
  constexpr std::string_view kOpen = "L['", kSize = "'].size()[";
  std::string result;
  while (true) {
    const std::size_t start = text.find(kOpen);
    if (start == std::string_view::npos) return result.append(text);
    result.append(text.substr(0, start));
    text.remove_prefix(start + kOpen.size());
    const std::size_t end = text.find(kSize);
    if (end == std::string_view::npos) return std::nullopt;
    const graph::InputSpec* input = find_input(inputs, text.substr(0, end));
    if (input == nullptr || input->type.tensor() == nullptr || !input->type.tensor()->sizes) return std::nullopt;
    text.remove_prefix(end + kSize.size());
    std::size_t axis = 0;
    const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), axis);
    if (error != std::errc() || axis >= input->type.tensor()->sizes->size()) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(rest - text.data()));
    if (text.empty() || text.front() != ']') return std::nullopt;
    text.remove_prefix(1);
    result += "(" + (*input->type.tensor()->sizes)[axis].to_string() + ")";
  }
}

struct Comparison {
  std::string_view token;
  Check::Relation relation;
  bool is_swapped;
};
constexpr std::array kComparisons = {
    Comparison{"==", Check::Relation::equal, false},      Comparison{"!=", Check::Relation::not_equal, false},
    Comparison{"<=", Check::Relation::less_equal, false}, Comparison{">=", Check::Relation::less_equal, true},
    Comparison{"<", Check::Relation::less, false},        Comparison{">", Check::Relation::less, true}};

bool has_more_comparisons(std::string_view text) { return text.find_first_of("=<>!") != std::string_view::npos; }

}  // namespace

std::optional<Check> parse_guard(std::string_view guard, const std::vector<graph::InputSpec>& inputs) {
  const std::optional<std::string> text = with_sizes(guard, inputs);
  if (!text) return std::nullopt;
  for (const Comparison& comparison : kComparisons) {
    const std::size_t place = text->find(comparison.token);
    if (place == std::string::npos) continue;
    const std::string_view left = std::string_view(*text).substr(0, place);
    const std::string_view right = std::string_view(*text).substr(place + comparison.token.size());
    if (has_more_comparisons(left) || has_more_comparisons(right)) return std::nullopt;
    try {
      Check check{
          .left = IntExpr::parse(left), .right = IntExpr::parse(right), .relation = comparison.relation, .message = {}};
      if (comparison.is_swapped) std::swap(check.left, check.right);
      check.message = "the model was exported under the condition " + std::string(guard);
      return check;
    } catch (const InvalidArgument&) {  // no integer expression: float arithmetic, `and`, a stride
      return std::nullopt;
    }
  }
  return std::nullopt;
}

bool is_informative(const Check& check) {
  const IntExpr difference = check.right - check.left;
  const auto constant = difference.constant();
  if (!constant) return true;
  switch (check.relation) {
    case Check::Relation::equal:
      return *constant != 0;
    case Check::Relation::not_equal:
      return *constant == 0;
    case Check::Relation::less_equal:
      return *constant < 0;
    case Check::Relation::less:
      return *constant <= 0;
  }
  return true;
}

}  // namespace limbeck::capture
