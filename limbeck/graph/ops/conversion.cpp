// Changes of dtype and device, copies, and tensors made from nothing.

#include <c10/core/DefaultDtype.h>

#include "limbeck/graph/ops/node_view.h"
#include "limbeck/graph/ops/rows.h"

namespace limbeck::graph {

namespace {

at::Device device_or(const NodeView& view, at::Device otherwise) {
  if (!view.has("device")) return otherwise;
  const auto* device = std::get_if<at::Device>(&view.argument("device").kind);
  if (device == nullptr) view.refuse("argument 'device' must be a device");
  return *device;
}

bool has_slot(const NodeView& view, std::string_view name) { return view.node().op->find_slot(name).has_value(); }

/// A tensor like self, of the dtype and on the device that the arguments name.
std::vector<Type> shape_like_self(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  const TensorType& self = view.tensor("self");
  Type type = tensor_like(self, *self.sizes);
  if (has_slot(view, "dtype")) type.tensor()->dtype = view.dtype_or("dtype", self.dtype);
  if (has_slot(view, "device")) type.tensor()->device = device_or(view, self.device);
  return {type};
}

std::vector<Type> shape_like_other(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  const TensorType& other = view.tensor("other");
  return {tensor_like(other, view.sizes("self"), other.dtype)};
}

/// Sizes from `size`; dtype and device from the arguments, else from self where there is one, else the defaults.
std::vector<Type> shape_made(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  const bool has_self = has_slot(view, "self");
  const at::ScalarType fallback = has_self ? view.tensor("self").dtype : c10::get_default_dtype_as_scalartype();
  const at::Device device = device_or(view, has_self ? view.tensor("self").device : at::Device(at::kCPU));
  const std::vector<IntExpr> sizes = view.integers("size");
  return {tensor_on(device, sizes, view.dtype_or("dtype", fallback))};
}

/// full and its kin take the dtype of the number that they are filled with.
std::vector<Type> shape_full(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  const Argument& fill = view.argument("fill_value");
  const at::ScalarType fallback = fill.as_bool()              ? at::kBool
                                  : fill.integer() != nullptr ? at::kLong
                                                              : c10::get_default_dtype_as_scalartype();
  return {tensor_on(device_or(view, at::kCPU), view.integers("size"), view.dtype_or("dtype", fallback))};
}

/// Integer bounds alone; others depend on rounding and run.
std::vector<Type> shape_arange(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  IntExpr start = 0, step = 1;
  for (auto [name, value] : {std::pair<const char*, IntExpr*>{"start", &start}, {"step", &step}}) {
    if (!has_slot(view, name)) continue;
    if (view.argument(name).integer() == nullptr) return {};
    *value = view.integer(name);
  }
  if (view.argument("end").integer() == nullptr || !step.constant() || *step.constant() == 0) return {};
  const IntExpr count = floor_div(view.integer("end") - start + step - (*step.constant() > 0 ? 1 : -1), step);
  if (count.constant() && *count.constant() < 0) view.refuse("the bounds give no elements");
  return {tensor_on(device_or(view, at::kCPU), {count}, view.dtype_or("dtype", at::kLong))};
}

void add(TraitsTable& table, std::initializer_list<const char*> ops, ShapeRule rule, bool is_elementwise) {
  for (const char* op : ops) {
    table["aten::" + std::string(op)] = {.is_elementwise = is_elementwise, .shape = rule};
  }
}

}  // namespace

void add_conversion_rows(TraitsTable& table) {
  add(table,
      {"clone", "contiguous", "detach", "alias", "lift_fresh_copy", "to.dtype", "to.dtype_layout", "to.device",
       "_to_copy"},
      shape_like_self, true);
  add(table, {"type_as", "to.other"}, shape_like_other, true);
  add(table, {"zeros_like", "ones_like", "empty_like", "full_like"}, shape_like_self, false);
  add(table, {"zeros", "ones", "empty.memory_format", "new_zeros", "new_ones", "new_empty", "new_full"}, shape_made,
      false);
  add(table, {"full"}, shape_full, false);
  add(table, {"arange", "arange.start", "arange.start_step"}, shape_arange, false);
}

}  // namespace limbeck::graph
