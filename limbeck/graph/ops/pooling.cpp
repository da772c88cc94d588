// Pooling over the last one, two or three axes.

#include "limbeck/graph/ops/node_view.h"
#include "limbeck/graph/ops/rows.h"

namespace limbeck::graph {

namespace {

/// Number of windows: floor((size + 2·padding - extent) / stride) + 1, or ceil, where a last window that would start in
/// the right padding is dropped.
IntExpr pooled(const IntExpr& size, const IntExpr& extent, const IntExpr& stride, const IntExpr& padding, bool ceil) {
  const IntExpr span = size + padding * 2 - extent;
  if (!ceil) return floor_div(span, stride) + 1;
  const IntExpr windows = ceil_div(span, stride) + 1;
  // (windows - 1)·stride < size + padding, or one window less
  return min(windows, ceil_div(size + padding, stride));
}

template <std::size_t Rank>
Sizes pooled_sizes(const NodeView& view) {
  view.expect_rank("self", Rank + 1, Rank + 2);
  const auto kernel = view.integers("kernel_size", Rank), padding = view.integers("padding", Rank);
  auto stride = view.integers("stride");
  stride = stride.empty() ? kernel : view.integers("stride", Rank);
  const bool has_dilation = view.node().op->find_slot("dilation").has_value();
  const auto dilation = has_dilation ? view.integers("dilation", Rank) : std::vector<IntExpr>(Rank, 1);
  const bool ceil = view.flag("ceil_mode");
  Sizes sizes = view.sizes("self");
  for (std::size_t i = 0; i < Rank; ++i) {
    IntExpr& size = sizes[sizes.size() - Rank + i];
    size = pooled(size, dilation[i] * (kernel[i] - 1) + 1, stride[i], padding[i], ceil);
    if (const auto constant = size.constant(); constant && *constant < 1) {
      view.refuse("no window fits in an input of {}", sizes_text(view.sizes("self")));
    }
  }
  return sizes;
}

template <std::size_t Rank>
std::vector<Type> shape_pool(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  return {tensor_like(view.tensor("self"), pooled_sizes<Rank>(view))};
}

template <std::size_t Rank>
std::vector<Type> shape_pool_with_indices(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  const Sizes sizes = pooled_sizes<Rank>(view);
  return {tensor_like(view.tensor("self"), sizes), tensor_like(view.tensor("self"), sizes, at::kLong)};
}

template <std::size_t Rank>
Sizes adaptive_sizes(const NodeView& view) {
  view.expect_rank("self", Rank + 1, Rank + 2);
  const auto output = view.integers("output_size", Rank);
  Sizes sizes = view.sizes("self");
  std::copy(output.begin(), output.end(), sizes.end() - static_cast<std::ptrdiff_t>(Rank));
  return sizes;
}

template <std::size_t Rank>
std::vector<Type> shape_adaptive(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  return {tensor_like(view.tensor("self"), adaptive_sizes<Rank>(view))};
}

template <std::size_t Rank>
std::vector<Type> shape_adaptive_with_indices(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  const Sizes sizes = adaptive_sizes<Rank>(view);
  return {tensor_like(view.tensor("self"), sizes), tensor_like(view.tensor("self"), sizes, at::kLong)};
}

template <std::size_t Rank>
void add_rank(TraitsTable& table) {
  const std::string rank = std::to_string(Rank) + "d";
  table["aten::max_pool" + rank].shape = shape_pool<Rank>;
  table["aten::max_pool" + rank + "_with_indices"].shape = shape_pool_with_indices<Rank>;
  table["aten::avg_pool" + rank].shape = shape_pool<Rank>;
  table["aten::adaptive_avg_pool" + rank].shape = shape_adaptive<Rank>;
  table["aten::adaptive_max_pool" + rank].shape = shape_adaptive_with_indices<Rank>;
}

}  // namespace

void add_pooling_rows(TraitsTable& table) {
  add_rank<1>(table);
  add_rank<2>(table);
  add_rank<3>(table);
  table["aten::_adaptive_avg_pool2d"].shape = shape_adaptive<2>;
}

}  // namespace limbeck::graph
