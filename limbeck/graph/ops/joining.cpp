// Concatenation, splitting and padding.

#include "limbeck/graph/ops/node_view.h"
#include "limbeck/graph/ops/rows.h"

namespace limbeck::graph {

namespace {

bool is_legacy_empty(const TensorType& type) { return *type.sizes == Sizes{0}; }  // cat skips 1-D empty tensors

at::ScalarType common_dtype(const std::vector<const TensorType*>& tensors) {
  at::ScalarType dtype = tensors.front()->dtype;
  for (const TensorType* tensor : tensors) dtype = c10::promoteTypes(dtype, tensor->dtype);
  return dtype;
}

std::vector<Type> shape_cat(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  const std::vector<const TensorType*> tensors = view.tensors("tensors");
  const TensorType* model = nullptr;
  for (const TensorType* tensor : tensors) {
    if (model == nullptr && !is_legacy_empty(*tensor)) model = tensor;
  }
  if (model == nullptr) return {};
  Sizes sizes = *model->sizes;
  const std::size_t axis = view.axis("dim", sizes.size());
  if (sizes.empty()) view.refuse("a tensor without axes cannot be concatenated");
  sizes[axis] = 0;
  for (const TensorType* tensor : tensors) {
    if (is_legacy_empty(*tensor)) continue;
    if (tensor->sizes->size() != sizes.size()) view.refuse("tensors differ in their number of axes");
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      if (i != axis) view.expect_equal((*tensor->sizes)[i], sizes[i], "size of axis " + std::to_string(i));
    }
    sizes[axis] = sizes[axis] + (*tensor->sizes)[axis];
  }
  return {tensor_like(*model, std::move(sizes), common_dtype(tensors))};
}

std::vector<Type> shape_stack(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  const std::vector<const TensorType*> tensors = view.tensors("tensors");
  if (tensors.empty()) view.refuse("'tensors' is empty");
  Sizes sizes = *tensors.front()->sizes;
  for (const TensorType* tensor : tensors) {
    if (tensor->sizes->size() != sizes.size()) view.refuse("tensors differ in their number of axes");
    for (std::size_t i = 0; i < sizes.size(); ++i) view.expect_equal((*tensor->sizes)[i], sizes[i], "size of an axis");
  }
  sizes.insert(sizes.begin() + static_cast<std::ptrdiff_t>(view.axis("dim", sizes.size() + 1)), tensors.size());
  return {tensor_like(*tensors.front(), std::move(sizes), common_dtype(tensors))};
}

constexpr int64_t kMaxParts = 65536;  // more outputs than this are a damaged file, not a model

std::vector<Type> parts_of(const NodeView& view, std::size_t axis, const std::vector<IntExpr>& parts) {
  std::vector<Type> types;
  for (const IntExpr& part : parts) {
    Sizes sizes = view.sizes("self");
    sizes[axis] = part;
    types.push_back(tensor_like(view.tensor("self"), std::move(sizes)));
  }
  return types;
}

/// Pieces of `step` and what is left. Only along an axis of known size: else the number of outputs is not known.
std::vector<Type> equal_parts(const NodeView& view, std::size_t axis, int64_t step) {
  const auto whole = view.sizes("self").at(axis).constant();
  if (!whole) return {};
  if (step <= 0 || (*whole + step - 1) / step > kMaxParts)
    view.refuse("cannot split {} into pieces of {}", *whole, step);
  std::vector<IntExpr> parts;
  for (int64_t start = 0; start < *whole; start += step) parts.push_back(std::min(step, *whole - start));
  if (parts.empty()) parts.push_back(0);
  return parts_of(view, axis, parts);
}

std::vector<Type> shape_split(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  const auto step = view.integer("split_size").constant();
  if (!step) return {};
  return equal_parts(view, view.axis("dim", view.sizes("self").size()), *step);
}

std::vector<Type> shape_chunk(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  const std::size_t axis = view.axis("dim", view.sizes("self").size());
  const auto whole = view.sizes("self").at(axis).constant(), chunks = view.integer("chunks").constant();
  if (!whole || !chunks || *whole == 0) return {};
  if (*chunks <= 0 || *chunks > kMaxParts) view.refuse("chunks must lie in [1, {}], got {}", kMaxParts, *chunks);
  return equal_parts(view, axis, (*whole + *chunks - 1) / *chunks);
}

std::vector<Type> shape_split_with_sizes(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  const std::vector<IntExpr> parts = view.integers("split_sizes");
  const std::size_t axis = view.axis("dim", view.sizes("self").size());
  IntExpr sum = 0;
  for (const IntExpr& part : parts) sum = sum + part;
  view.expect_equal(sum, view.sizes("self").at(axis), "sum of 'split_sizes'");
  return parts_of(view, axis, parts);
}

std::vector<Type> shape_unbind(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  Sizes sizes = view.sizes("self");
  const std::size_t axis = view.axis("dim", sizes.size());
  const auto count = sizes.at(axis).constant();
  if (!count || *count > kMaxParts) return {};
  sizes.erase(sizes.begin() + static_cast<std::ptrdiff_t>(axis));
  return std::vector<Type>(static_cast<std::size_t>(*count), tensor_like(view.tensor("self"), sizes));
}

/// pad = (left, right) of the last axis, then of the one before, and so on.
std::vector<Type> shape_pad(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  Sizes sizes = view.sizes("self");
  const std::vector<IntExpr> pad = view.integers(node.op->find_slot("pad") ? "pad" : "padding");
  if (pad.size() % 2 != 0 || pad.size() / 2 > sizes.size()) {
    view.refuse("{} paddings do not fit {}", pad.size(), sizes_text(sizes));
  }
  for (std::size_t i = 0; i < pad.size(); i += 2) {
    IntExpr& size = sizes[sizes.size() - 1 - i / 2];
    size = size + pad[i] + pad[i + 1];
    if (const auto constant = size.constant(); constant && *constant < 0) view.refuse("more is cut than there is");
  }
  return {tensor_like(view.tensor("self"), std::move(sizes))};
}

std::vector<Type> shape_repeat(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  const char* argument = node.op->find_slot("repeats") ? "repeats" : "dims";
  Sizes sizes = view.sizes("self");
  std::vector<IntExpr> repeats = view.integers(argument);
  if (repeats.size() < sizes.size()) {
    if (node.op->is("aten::repeat")) view.refuse("'repeats' must have at least {} ints", sizes.size());
    repeats.insert(repeats.begin(), sizes.size() - repeats.size(), 1);
  }
  sizes.insert(sizes.begin(), repeats.size() - sizes.size(), 1);
  for (std::size_t i = 0; i < sizes.size(); ++i) sizes[i] = sizes[i] * repeats[i];
  return {tensor_like(view.tensor("self"), std::move(sizes))};
}

}  // namespace

void add_joining_rows(TraitsTable& table) {
  for (const char* op : {"aten::cat", "aten::concat"}) table[op].shape = shape_cat;
  table["aten::stack"].shape = shape_stack;
  table["aten::split.Tensor"].shape = shape_split;
  table["aten::chunk"].shape = shape_chunk;
  table["aten::split_with_sizes"].shape = shape_split_with_sizes;
  table["aten::unbind.int"].shape = shape_unbind;
  table["limbeck::unbind"] = table["aten::unbind.int"];
  for (const char* op : {"aten::constant_pad_nd", "aten::pad", "aten::reflection_pad1d", "aten::reflection_pad2d",
                         "aten::replication_pad1d", "aten::replication_pad2d"}) {
    table[op].shape = shape_pad;
  }
  for (const char* op : {"aten::repeat", "aten::tile"}) table[op].shape = shape_repeat;
}

}  // namespace limbeck::graph
