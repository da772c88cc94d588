// Parts of a tensor chosen by position or by index.

#include <algorithm>

#include "limbeck/graph/ops/node_view.h"
#include "limbeck/graph/ops/rows.h"

namespace limbeck::graph {

namespace {

std::vector<Type> like_self(const NodeView& view, Sizes sizes) {
  return {tensor_like(view.tensor("self"), std::move(sizes))};
}

/// A bound of a slice within [0, size], counted from the end when negative. Nothing when a symbolic bound may lie on
/// either side of 0 or of the size.
std::optional<IntExpr> bound(const NodeView& view, std::string_view name, const IntExpr& size,
                             const IntExpr& fallback) {
  if (!view.has(name)) return fallback;
  const IntExpr given = view.integer(name);
  const auto constant = given.constant(), whole = size.constant();
  if (constant && *constant == INT64_MAX) return size;
  if (constant && whole) {
    const int64_t from_start = *constant < 0 ? *constant + *whole : *constant;
    return IntExpr(std::min(std::max<int64_t>(from_start, 0), *whole));
  }
  if (given == size || (constant && *constant == 0)) return given;
  return std::nullopt;
}

std::vector<Type> shape_slice(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  Sizes sizes = view.sizes("self");
  IntExpr& size = sizes.at(view.axis("dim", sizes.size()));
  const auto start = bound(view, "start", size, 0), end = bound(view, "end", size, size);
  const auto step = view.integer("step").constant();
  if (!start || !end || !step) return {};
  if (*step <= 0) view.refuse("step must be positive, got {}", *step);
  const IntExpr span = *end - *start;
  size = span.constant() && *span.constant() < 0 ? IntExpr(0) : ceil_div(span, *step);
  return like_self(view, std::move(sizes));
}

std::vector<Type> shape_select(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  Sizes sizes = view.sizes("self");
  if (sizes.empty()) view.refuse("a tensor without axes has nothing to select");
  const std::size_t axis = view.axis("dim", sizes.size());
  const auto index = view.integer("index").constant(), size = sizes[axis].constant();
  if (index && size && (*index < -*size || *index >= *size)) view.refuse("index {} lies outside of {}", *index, *size);
  sizes.erase(sizes.begin() + static_cast<std::ptrdiff_t>(axis));
  return like_self(view, std::move(sizes));
}

std::vector<Type> shape_narrow(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  Sizes sizes = view.sizes("self");
  IntExpr& size = sizes.at(view.axis("dim", sizes.size()));
  const IntExpr length = view.integer("length");
  if (const auto left = (size - length).constant(); left && *left < 0)
    view.refuse("length exceeds {}", size.to_string());
  size = length;
  return like_self(view, std::move(sizes));
}

std::vector<Type> shape_index_select(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  view.expect_rank("index", 0, 1);
  Sizes sizes = view.sizes("self");
  if (!sizes.empty()) sizes[view.axis("dim", sizes.size())] = product(view.sizes("index"));
  return like_self(view, std::move(sizes));
}

std::vector<Type> shape_gather(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  return like_self(view, view.sizes("index"));
}

std::vector<Type> shape_embedding(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  view.expect_rank("weight", 2, 2);
  Sizes sizes = view.sizes("indices");
  sizes.push_back(view.sizes("weight")[1]);
  return {tensor_like(view.tensor("weight"), std::move(sizes))};
}

/// Integer indices broadcast together; their axes stand where the first was when all are neighbours, else in front.
std::vector<Type> shape_index(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  const Sizes& self = view.sizes("self");
  const ArgumentList* indices = view.argument("indices").list();
  if (indices == nullptr || indices->size() > self.size()) view.refuse("'indices' do not fit {}", sizes_text(self));
  Sizes chosen;
  std::vector<std::size_t> axes;
  for (std::size_t axis = 0; axis < indices->size(); ++axis) {
    const ValueId* value = (*indices)[axis].value();
    if (value == nullptr) continue;
    const TensorType* index = graph.type(*value).tensor();
    if (index == nullptr || index->dtype == at::kBool || index->dtype == at::kByte) return {};  // depends on data
    const auto joined = broadcast(chosen, *index->sizes);
    if (!joined) return {};
    chosen = *joined;
    axes.push_back(axis);
  }
  if (axes.empty()) return like_self(view, self);
  const bool are_neighbours = axes.back() - axes.front() + 1 == axes.size();
  Sizes sizes;
  for (std::size_t axis = 0; axis < self.size(); ++axis) {
    if (std::find(axes.begin(), axes.end(), axis) == axes.end()) sizes.push_back(self[axis]);
  }
  sizes.insert(sizes.begin() + static_cast<std::ptrdiff_t>(are_neighbours ? axes.front() : 0), chosen.begin(),
               chosen.end());
  return like_self(view, std::move(sizes));
}

/// Writes into a copy of self.
std::vector<Type> shape_of_self(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  return like_self(view, view.sizes("self"));
}

}  // namespace

void add_indexing_rows(TraitsTable& table) {
  table["aten::slice.Tensor"].shape = shape_slice;
  table["aten::select.int"].shape = shape_select;
  table["aten::narrow"].shape = shape_narrow;
  table["aten::index_select"].shape = shape_index_select;
  table["aten::gather"].shape = shape_gather;
  table["aten::embedding"].shape = shape_embedding;
  table["aten::index.Tensor"].shape = shape_index;
  for (const char* op :
       {"aten::slice_scatter", "aten::select_scatter", "aten::copy", "aten::fill.Scalar", "aten::index_put"}) {
    table[op].shape = shape_of_self;
  }
}

}  // namespace limbeck::graph
