// Reductions over axes, softmax and running sums.

#include <algorithm>

#include "limbeck/graph/ops/node_view.h"
#include "limbeck/graph/ops/rows.h"

namespace limbeck::graph {

namespace {

Sizes reduced(const Sizes& sizes, const std::vector<std::size_t>& axes, bool keep) {
  Sizes result;
  for (std::size_t axis = 0; axis < sizes.size(); ++axis) {
    if (std::find(axes.begin(), axes.end(), axis) == axes.end()) {
      result.push_back(sizes[axis]);
    } else if (keep) {
      result.push_back(1);
    }
  }
  return result;
}

bool has_slot(const NodeView& view, std::string_view name) { return view.node().op->find_slot(name).has_value(); }

Sizes reduced_self(const NodeView& view) {
  const Sizes& self = view.sizes("self");
  if (!has_slot(view, "dim")) return {};
  return reduced(self, view.axes("dim", self.size()), view.flag("keepdim"));
}

/// sum and prod: integers add up in int64.
std::vector<Type> shape_sum(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  const at::ScalarType self = view.tensor("self").dtype;
  const at::ScalarType summed = c10::isIntegralType(self, true) ? at::kLong : self;
  return {tensor_like(view.tensor("self"), reduced_self(view), view.dtype_or("dtype", summed))};
}

std::vector<Type> shape_mean(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  return {tensor_like(view.tensor("self"), reduced_self(view), view.dtype_or("dtype", view.tensor("self").dtype))};
}

std::vector<Type> shape_same_dtype(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  return {tensor_like(view.tensor("self"), reduced_self(view))};
}

std::vector<Type> shape_log_sum(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  return {tensor_like(view.tensor("self"), reduced_self(view), to_floating(view.tensor("self").dtype))};
}

/// var_mean, std_mean
std::vector<Type> shape_pair(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  const Type type = tensor_like(view.tensor("self"), reduced_self(view));
  return {type, type};
}

/// max.dim, min.dim: values and indices.
std::vector<Type> shape_extreme(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  const Sizes sizes = reduced_self(view);
  return {tensor_like(view.tensor("self"), sizes), tensor_like(view.tensor("self"), sizes, at::kLong)};
}

std::vector<Type> shape_arg(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  const Sizes& self = view.sizes("self");
  const Sizes sizes = reduced(self, view.axes("dim", self.size()), view.flag("keepdim"));
  return {tensor_like(view.tensor("self"), sizes, at::kLong)};
}

std::vector<Type> shape_truth(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  return {tensor_like(view.tensor("self"), reduced_self(view), at::kBool)};
}

std::vector<Type> shape_softmax(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  const TensorType& self = view.tensor("self");
  view.axis("dim", self.sizes->size());
  const at::ScalarType dtype = has_slot(view, "dtype") ? view.dtype_or("dtype", self.dtype) : self.dtype;
  return {tensor_like(self, *self.sizes, dtype)};
}

std::vector<Type> shape_running_sum(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  const TensorType& self = view.tensor("self");
  view.axis("dim", self.sizes->size());
  const at::ScalarType summed = c10::isIntegralType(self.dtype, true) ? at::kLong : self.dtype;
  return {tensor_like(self, *self.sizes, view.dtype_or("dtype", summed))};
}

std::vector<Type> shape_topk(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  Sizes sizes = view.sizes("self");
  if (!sizes.empty()) sizes[view.axis("dim", sizes.size())] = view.integer("k");
  return {tensor_like(view.tensor("self"), sizes), tensor_like(view.tensor("self"), sizes, at::kLong)};
}

std::vector<Type> shape_sort(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  const Sizes& sizes = view.sizes("self");
  return {tensor_like(view.tensor("self"), sizes), tensor_like(view.tensor("self"), sizes, at::kLong)};
}

void add(TraitsTable& table, std::initializer_list<const char*> ops, ShapeRule rule) {
  for (const char* op : ops) table["aten::" + std::string(op)].shape = rule;
}

}  // namespace

void add_reduction_rows(TraitsTable& table) {
  add(table, {"sum", "sum.dim_IntList", "prod", "prod.dim_int"}, shape_sum);
  add(table, {"mean", "mean.dim"}, shape_mean);
  add(table, {"amax", "amin", "max", "min", "var", "var.dim", "var.correction", "std", "std.dim", "std.correction"},
      shape_same_dtype);
  add(table, {"logsumexp"}, shape_log_sum);
  add(table, {"var_mean.correction", "std_mean.correction"}, shape_pair);
  add(table, {"max.dim", "min.dim"}, shape_extreme);
  add(table, {"argmax", "argmin"}, shape_arg);
  add(table, {"any", "any.dim", "all", "all.dim"}, shape_truth);
  add(table, {"softmax.int", "log_softmax.int", "_softmax", "_log_softmax"}, shape_softmax);
  add(table, {"cumsum", "cumprod"}, shape_running_sum);
  add(table, {"topk"}, shape_topk);
  add(table, {"sort"}, shape_sort);
}

}  // namespace limbeck::graph
