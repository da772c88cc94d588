// Ops that give the same elements another shape or order.

#include <algorithm>

#include "limbeck/graph/ops/node_view.h"
#include "limbeck/graph/ops/rows.h"

namespace limbeck::graph {

namespace {

std::vector<Type> like_self(const NodeView& view, Sizes sizes) {
  return {tensor_like(view.tensor("self"), std::move(sizes))};
}

/// Puts what is left of `elements` in place of a -1 among `sizes`.
Sizes completed(const NodeView& view, std::vector<IntExpr> sizes, const IntExpr& elements) {
  IntExpr known = 1;
  std::ptrdiff_t open = -1;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] != IntExpr(-1)) {
      known = known * sizes[i];
    } else if (open < 0) {
      open = static_cast<std::ptrdiff_t>(i);
    } else {
      view.refuse("only one size can be -1, got {}", sizes_text(sizes));
    }
  }
  if (open < 0) {
    view.expect_equal(known, elements, "number of elements of " + sizes_text(sizes));
    return sizes;
  }
  if (known == IntExpr(0)) view.refuse("-1 cannot be told for {}", sizes_text(sizes));
  view.expect_equal(mod(elements, known), 0, elements.to_string() + " elements modulo " + known.to_string());
  sizes[static_cast<std::size_t>(open)] = floor_div(elements, known);
  return sizes;
}

/// view, reshape: the argument is "size" or "shape".
std::vector<Type> shape_reshape(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  const char* argument = node.op->find_slot("size") ? "size" : "shape";
  return like_self(view, completed(view, view.integers(argument), product(view.sizes("self"))));
}

std::vector<Type> shape_flatten(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  const Sizes& self = view.sizes("self");
  if (self.empty()) return like_self(view, {1});
  const std::size_t first = view.axis("start_dim", self.size()), last = view.axis("end_dim", self.size());
  if (first > last) view.refuse("start_dim comes after end_dim");
  Sizes sizes(self.begin(), self.begin() + static_cast<std::ptrdiff_t>(first));
  IntExpr merged = 1;
  for (std::size_t i = first; i <= last; ++i) merged = merged * self[i];
  sizes.push_back(merged);
  sizes.insert(sizes.end(), self.begin() + static_cast<std::ptrdiff_t>(last) + 1, self.end());
  return like_self(view, std::move(sizes));
}

std::vector<Type> shape_unflatten(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  Sizes sizes = view.sizes("self");
  const std::size_t axis = view.axis("dim", sizes.size());
  const Sizes parts = completed(view, view.integers("sizes"), sizes.at(axis));
  const auto place = sizes.erase(sizes.begin() + static_cast<std::ptrdiff_t>(axis));
  sizes.insert(place, parts.begin(), parts.end());
  return like_self(view, std::move(sizes));
}

std::vector<Type> shape_permute(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  const Sizes& self = view.sizes("self");
  const std::vector<IntExpr> order = view.integers("dims");
  if (order.size() != self.size() || view.axes("dims", self.size()).size() != self.size()) {
    view.refuse("'dims' must name each of {} axes once", self.size());
  }
  Sizes sizes;
  for (const IntExpr& axis : order) sizes.push_back(self[view.axis_of(axis, self.size())]);
  return like_self(view, std::move(sizes));
}

std::vector<Type> shape_transpose(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  Sizes sizes = view.sizes("self");
  const std::size_t first = view.axis("dim0", sizes.size()), second = view.axis("dim1", sizes.size());
  if (!sizes.empty()) std::swap(sizes[first], sizes[second]);
  return like_self(view, std::move(sizes));
}

std::vector<Type> shape_t(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  view.expect_rank("self", 0, 2);
  Sizes sizes = view.sizes("self");
  std::reverse(sizes.begin(), sizes.end());
  return like_self(view, std::move(sizes));
}

std::vector<Type> shape_expand(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  const Sizes& self = view.sizes("self");
  Sizes sizes = view.integers("size");
  if (sizes.size() < self.size()) view.refuse("{} cannot expand to {}", sizes_text(self), sizes_text(sizes));
  const std::size_t offset = sizes.size() - self.size();
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] == IntExpr(-1)) {
      if (i < offset) view.refuse("-1 is not allowed for a new axis");
      sizes[i] = self[i - offset];
    } else if (i >= offset && self[i - offset] != IntExpr(1)) {
      view.expect_equal(sizes[i], self[i - offset], "size of an axis that is not 1");
    }
  }
  return like_self(view, std::move(sizes));
}

std::vector<Type> shape_of_other(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  return like_self(view, view.sizes("other"));
}

std::vector<Type> shape_unsqueeze(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  Sizes sizes = view.sizes("self");
  sizes.insert(sizes.begin() + static_cast<std::ptrdiff_t>(view.axis("dim", sizes.size() + 1)), 1);
  return like_self(view, std::move(sizes));
}

/// squeeze, squeeze.dim, squeeze.dims: an axis goes when its size is 1. A symbolic size is taken not to be 1, as
/// torch.export does.
std::vector<Type> shape_squeeze(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  const Sizes& self = view.sizes("self");
  std::vector<std::size_t> axes(self.size());
  for (std::size_t i = 0; i < axes.size(); ++i) axes[i] = i;
  if (node.op->find_slot("dim")) {
    axes = view.integers("dim").empty() ? std::vector<std::size_t>{} : view.axes("dim", self.size());
  }
  Sizes sizes;
  for (std::size_t i = 0; i < self.size(); ++i) {
    const bool is_named = std::find(axes.begin(), axes.end(), i) != axes.end();
    if (!is_named || self[i] != IntExpr(1)) sizes.push_back(self[i]);
  }
  return like_self(view, std::move(sizes));
}

std::vector<Type> shape_movedim(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  const Sizes& self = view.sizes("self");
  const std::vector<IntExpr> from = view.integers("source"), to = view.integers("destination");
  if (from.size() != to.size()) view.refuse("source and destination differ in length");
  std::vector<std::optional<std::size_t>> order(self.size());
  std::vector<bool> moved(self.size(), false);
  for (std::size_t i = 0; i < from.size(); ++i) {
    const std::size_t source = view.axis_of(from[i], self.size());
    order.at(view.axis_of(to[i], self.size())) = source;
    moved[source] = true;
  }
  std::size_t next = 0;
  Sizes sizes;
  for (const auto& source : order) {
    while (!source && moved.at(next)) ++next;
    sizes.push_back(self[source ? *source : next++]);
  }
  return like_self(view, std::move(sizes));
}

std::vector<Type> shape_pixel_shuffle(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  view.expect_rank("self", 3, 8);
  const IntExpr factor = view.integer("upscale_factor");
  Sizes sizes = view.sizes("self");
  IntExpr& channels = sizes[sizes.size() - 3];
  view.expect_equal(mod(channels, factor * factor), 0, "channels modulo the square of the factor");
  channels = floor_div(channels, factor * factor);
  for (std::size_t i = sizes.size() - 2; i < sizes.size(); ++i) sizes[i] = sizes[i] * factor;
  return like_self(view, std::move(sizes));
}

std::vector<Type> shape_pixel_unshuffle(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  view.expect_rank("self", 3, 8);
  const IntExpr factor = view.integer("downscale_factor");
  Sizes sizes = view.sizes("self");
  sizes[sizes.size() - 3] = sizes[sizes.size() - 3] * factor * factor;
  for (std::size_t i = sizes.size() - 2; i < sizes.size(); ++i) {
    view.expect_equal(mod(sizes[i], factor), 0, "height and width modulo the factor");
    sizes[i] = floor_div(sizes[i], factor);
  }
  return like_self(view, std::move(sizes));
}

std::vector<Type> shape_unchanged(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  return like_self(view, view.sizes("self"));
}

}  // namespace

void add_view_rows(TraitsTable& table) {
  for (const char* op : {"aten::view", "aten::reshape", "aten::_unsafe_view", "aten::_reshape_copy"}) {
    table[op].shape = shape_reshape;
  }
  table["aten::flatten.using_ints"].shape = shape_flatten;
  table["aten::unflatten.int"].shape = shape_unflatten;
  table["aten::permute"].shape = shape_permute;
  table["aten::transpose.int"].shape = shape_transpose;
  table["aten::t"].shape = shape_t;
  table["aten::expand"].shape = shape_expand;
  for (const char* op : {"aten::expand_as", "aten::view_as", "aten::reshape_as"}) table[op].shape = shape_of_other;
  table["aten::unsqueeze"].shape = shape_unsqueeze;
  for (const char* op : {"aten::squeeze", "aten::squeeze.dim", "aten::squeeze.dims"}) table[op].shape = shape_squeeze;
  for (const char* op : {"aten::movedim.int", "aten::movedim.intlist"}) table[op].shape = shape_movedim;
  table["aten::pixel_shuffle"].shape = shape_pixel_shuffle;
  table["aten::pixel_unshuffle"].shape = shape_pixel_unshuffle;
  for (const char* op : {"aten::channel_shuffle", "aten::roll", "aten::flip", "aten::tril", "aten::triu"}) {
    table[op].shape = shape_unchanged;
  }
}

}  // namespace limbeck::graph
