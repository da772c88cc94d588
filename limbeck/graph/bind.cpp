// Solving a graph's symbols from the sizes of a run's inputs, and checking what the export assumed of them.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "limbeck/core/error.h"
#include "limbeck/graph/infer.h"

namespace limbeck::graph {

namespace {

std::string shape_text(const Sizes& sizes) {
  std::vector<std::string> texts;
  for (const IntExpr& size : sizes) texts.push_back(size.to_string());
  return fmt::format("[{}]", fmt::join(texts, ", "));
}

class Binder {
 public:
  explicit Binder(const Graph& graph) : graph_(graph) {}

  Bindings bind(const std::vector<std::vector<int64_t>>& input_sizes) {
    LIMBECK_CHECK(input_sizes.size() == graph_.inputs.size(), "[graph] the model takes {} inputs, got {}",
                  graph_.inputs.size(), input_sizes.size());
    for (std::size_t i = 0; i < input_sizes.size(); ++i) visit_axes(i, input_sizes[i], &Binder::bind_symbol);
    for (std::size_t i = 0; i < input_sizes.size(); ++i) visit_axes(i, input_sizes[i], &Binder::solve);
    for (std::size_t i = 0; i < input_sizes.size(); ++i) visit_axes(i, input_sizes[i], &Binder::check_size);
    check_ranges();
    for (const Check& check : graph_.checks) check_relation(check);
    return std::move(bindings_);
  }

 private:
  struct Axis {
    const InputSpec& input;
    std::size_t index;
    IntExpr expected;
    int64_t size;
  };

  void visit_axes(std::size_t input, const std::vector<int64_t>& sizes, void (Binder::*visit)(const Axis&)) {
    const InputSpec& spec = graph_.inputs[input];
    const TensorType* type = spec.type.tensor();
    if (type == nullptr || !type->sizes) return;
    LIMBECK_CHECK(type->sizes->size() == sizes.size(), "[graph] input '{}' must have the shape {}, got [{}]", spec.name,
                  shape_text(*type->sizes), fmt::join(sizes, ", "));
    for (std::size_t axis = 0; axis < sizes.size(); ++axis) {
      (this->*visit)({.input = spec, .index = axis, .expected = (*type->sizes)[axis], .size = sizes[axis]});
    }
  }

  void bind_symbol(const Axis& axis) {
    if (const auto symbol = axis.expected.symbol_name()) bindings_.emplace(*symbol, axis.size);
  }

  /// The one symbol of a linear expression that no axis shows bare: 4*n of 12 gives 3.
  void solve(const Axis& axis) {
    std::vector<std::string> unbound;
    for (const std::string& symbol : axis.expected.symbols()) {
      if (bindings_.count(symbol) == 0) unbound.push_back(symbol);
    }
    if (unbound.size() != 1) return;
    Bindings trial = bindings_;
    const auto value_at = [&](int64_t value) {
      trial[unbound.front()] = value;
      return axis.expected.evaluate(trial);
    };
    const int64_t first = value_at(1), slope = value_at(2) - first;
    if (slope != 0 && (axis.size - first) % slope == 0) bindings_[unbound.front()] = 1 + (axis.size - first) / slope;
  }

  void check_size(const Axis& axis) {
    if (axis.expected.is_constant() && axis.size != *axis.expected.constant()) refuse_baked_in(axis);
    for (const std::string& symbol : axis.expected.symbols()) {
      LIMBECK_CHECK(bindings_.count(symbol) != 0,
                    "[graph] input '{}' must be {} for a whole number {} on axis {}, got {}", axis.input.name,
                    axis.expected.to_string(), symbol, axis.index, axis.size);
    }
    const int64_t expected = axis.expected.evaluate(bindings_);
    LIMBECK_CHECK(expected == axis.size, "[graph] input '{}' must be {} on axis {} ({}), got {}", axis.input.name,
                  expected, axis.index, axis.expected.to_string(), axis.size);
  }

  [[noreturn]] void refuse_baked_in(const Axis& axis) const {
    const auto why = graph_.metadata.find(kFixedBatchKey);
    fail<InvalidArgument>(
        "[graph] input '{}' must be {} on axis {}, got {}: the model was made for this size{}. For others, export with "
        "dynamic_shapes={{'{}': {{{}: torch.export.Dim.AUTO}}}}.",
        axis.input.name, *axis.expected.constant(), axis.index, axis.size,
        axis.index == 0 && why != graph_.metadata.end() ? " (" + why->second + ")" : "", axis.input.name, axis.index);
  }

  void check_ranges() const {
    for (const Range& range : graph_.ranges) {
      const auto bound = bindings_.find(range.symbol);
      if (bound == bindings_.end()) continue;
      LIMBECK_CHECK(bound->second >= range.min && bound->second <= range.max,
                    "[graph] {} must lie in [{}, {}], got {}: export again with a wider range for it",
                    place_of(range.symbol), range.min, range.max, bound->second);
    }
  }

  /// The first axis of an input that is this size.
  std::string place_of(const std::string& symbol) const {
    for (const InputSpec& input : graph_.inputs) {
      const TensorType* type = input.type.tensor();
      if (type == nullptr || !type->sizes) continue;
      const auto found = std::find(type->sizes->begin(), type->sizes->end(), IntExpr::symbol(symbol));
      if (found != type->sizes->end())
        return fmt::format("axis {} of input '{}' ({})", found - type->sizes->begin(), input.name, symbol);
    }
    return "size " + symbol;
  }

  void check_relation(const Check& check) const {
    const int64_t left = check.left.evaluate(bindings_), right = check.right.evaluate(bindings_);
    const bool holds = check.relation == Check::Relation::equal        ? left == right
                       : check.relation == Check::Relation::less_equal ? left <= right
                       : check.relation == Check::Relation::less       ? left < right
                                                                       : left != right;
    LIMBECK_CHECK(holds, "[graph] {} (here {} and {}): the model was exported under this condition", check.message,
                  left, right);
  }

  const Graph& graph_;
  Bindings bindings_;
};

}  // namespace

Bindings bind_symbols(const Graph& graph, const std::vector<std::vector<int64_t>>& input_sizes) {
  return Binder(graph).bind(input_sizes);
}

}  // namespace limbeck::graph
