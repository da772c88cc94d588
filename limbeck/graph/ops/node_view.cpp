#include "limbeck/graph/ops/node_view.h"

#include <c10/core/DefaultDtype.h>
#include <c10/core/ScalarType.h>

#include <algorithm>

namespace limbeck::graph {

bool NodeView::has(std::string_view argument) const {
  const auto slot = node_.op->find_slot(argument);
  return slot && !node_.arguments.at(*slot).is_none();
}

const Argument& NodeView::argument(std::string_view name) const { return node_.arguments.at(node_.op->slot(name)); }

const TensorType& NodeView::tensor(std::string_view argument_name) const {
  const ValueId* value = argument(argument_name).value();
  const TensorType* type = value == nullptr ? nullptr : graph_.type(*value).tensor();
  if (type == nullptr) refuse("argument '{}' must be a tensor", argument_name);
  return *type;
}

std::vector<const TensorType*> NodeView::tensors(std::string_view argument_name) const {
  std::vector<const TensorType*> types;
  for_each_value(argument(argument_name), [&](ValueId value) {
    const TensorType* type = graph_.type(value).tensor();
    if (type == nullptr) refuse("'{}' must hold tensors", argument_name);
    types.push_back(type);
  });
  return types;
}

IntExpr NodeView::integer(std::string_view argument_name) const {
  const IntExpr* value = argument(argument_name).integer();
  if (value == nullptr) refuse("argument '{}' must be an int", argument_name);
  return *value;
}

std::vector<IntExpr> NodeView::integers(std::string_view argument_name, std::size_t expected) const {
  const Argument& given = argument(argument_name);
  std::vector<IntExpr> values;
  if (const IntExpr* single = given.integer()) {
    values.push_back(*single);
  } else if (const ArgumentList* list = given.list()) {
    for (const Argument& element : *list) {
      if (element.integer() == nullptr) refuse("'{}' must hold ints", argument_name);
      values.push_back(*element.integer());
    }
  } else if (!given.is_none()) {
    refuse("argument '{}' must be a list of ints", argument_name);
  }
  if (values.size() == 1 && expected > 1) values.resize(expected, values.front());
  if (expected != 0 && values.size() != expected) {
    refuse("'{}' must hold {} ints, got {}", argument_name, expected, values.size());
  }
  return values;
}

bool NodeView::flag(std::string_view argument_name) const {
  const auto value = argument(argument_name).as_bool();
  if (!value) refuse("argument '{}' must be a bool", argument_name);
  return *value;
}

at::ScalarType NodeView::dtype_or(std::string_view argument_name, at::ScalarType otherwise) const {
  if (!has(argument_name)) return otherwise;
  const auto* dtype = std::get_if<at::ScalarType>(&argument(argument_name).kind);
  if (dtype == nullptr) refuse("argument '{}' must be a dtype", argument_name);
  return *dtype;
}

std::size_t NodeView::axis_of(const IntExpr& axis, std::size_t rank) const {
  const auto value = axis.constant();
  const auto bound = static_cast<int64_t>(std::max<std::size_t>(rank, 1));
  if (!value || *value < -bound || *value >= bound)
    refuse("axis {} must lie in [{}, {})", axis.to_string(), -bound, bound);
  return static_cast<std::size_t>(*value < 0 ? *value + bound : *value);
}

std::size_t NodeView::axis(std::string_view argument_name, std::size_t rank) const {
  return axis_of(integer(argument_name), rank);
}

std::vector<std::size_t> NodeView::axes(std::string_view argument_name, std::size_t rank) const {
  std::vector<std::size_t> result;
  for (const IntExpr& axis : integers(argument_name)) result.push_back(axis_of(axis, rank));
  if (result.empty()) {
    for (std::size_t axis = 0; axis < rank; ++axis) result.push_back(axis);
  }
  std::sort(result.begin(), result.end());
  if (std::adjacent_find(result.begin(), result.end()) != result.end()) refuse("'{}' repeats an axis", argument_name);
  return result;
}

void NodeView::refuse_text(const std::string& text) const {
  const std::string& scope = graph_.scope(node_.scope).path;
  fail<InvalidArgument>("[graph] {}{}: {}", node_.op->name, scope.empty() ? "" : " in '" + scope + "'", text);
}

void NodeView::expect_equal(const IntExpr& got, const IntExpr& expected, std::string_view what) const {
  const auto difference = (got - expected).constant();
  if (difference && *difference != 0) refuse("{} must be {}, got {}", what, expected.to_string(), got.to_string());
}

void NodeView::expect_rank(std::string_view argument_name, std::size_t low, std::size_t high) const {
  const Sizes& actual = sizes(argument_name);
  if (actual.size() >= low && actual.size() <= high) return;
  refuse("'{}' must have {} axes, got {}", argument_name,
         low == high ? std::to_string(low) : std::to_string(low) + " to " + std::to_string(high), sizes_text(actual));
}

void NodeView::expect_same_dtype(std::string_view first, std::string_view second) const {
  if (tensor(first).dtype == tensor(second).dtype) return;
  refuse("'{}' is {} and '{}' is {}", first, c10::toString(tensor(first).dtype), second,
         c10::toString(tensor(second).dtype));
}

Type tensor_like(const TensorType& model, Sizes sizes) { return tensor_like(model, std::move(sizes), model.dtype); }

Type tensor_like(const TensorType& model, Sizes sizes, at::ScalarType dtype) {
  return tensor_on(model.device, std::move(sizes), dtype);
}

Type tensor_on(at::Device device, Sizes sizes, at::ScalarType dtype) {
  return {TensorType{.dtype = dtype, .sizes = std::move(sizes), .strides = std::nullopt, .device = device}};
}

IntExpr product(const Sizes& sizes) {
  IntExpr result = 1;
  for (const IntExpr& size : sizes) result = result * size;
  return result;
}

std::string sizes_text(const Sizes& sizes) {
  std::string text = "[";
  for (const IntExpr& size : sizes) text += (text.size() > 1 ? ", " : "") + size.to_string();
  return text + "]";
}

std::optional<Sizes> broadcast(const Sizes& a, const Sizes& b) {
  const Sizes& longer = a.size() >= b.size() ? a : b;
  const Sizes& shorter = a.size() >= b.size() ? b : a;
  Sizes result = longer;
  const std::size_t offset = longer.size() - shorter.size();
  for (std::size_t i = 0; i < shorter.size(); ++i) {
    IntExpr& size = result[offset + i];
    if (size == shorter[i] || shorter[i] == IntExpr(1)) continue;
    if (size != IntExpr(1)) return std::nullopt;
    size = shorter[i];
  }
  return result;
}

namespace {

/// The three levels of at::result_type: later ones count only when they are of a higher category.
struct Promotion {
  std::optional<at::ScalarType> with_axes, without_axes, numbers;

  static void add(std::optional<at::ScalarType>& level, at::ScalarType dtype) {
    level = level ? c10::promoteTypes(*level, dtype) : dtype;
  }
  static std::optional<at::ScalarType> combine(std::optional<at::ScalarType> higher,
                                               std::optional<at::ScalarType> lower) {
    if (!higher) return lower;
    if (!lower) return higher;
    const auto category = [](at::ScalarType t) {
      return c10::isComplexType(t) ? 3 : c10::isFloatingType(t) ? 2 : t == at::kBool ? 0 : 1;
    };
    return category(*lower) > category(*higher) ? c10::promoteTypes(*higher, *lower) : *higher;
  }
};

}  // namespace

at::ScalarType promoted_dtype(const NodeView& view, const std::vector<std::string_view>& names) {
  Promotion levels;
  for (const std::string_view name : names) {
    if (!view.has(name)) continue;
    const Argument& argument = view.argument(name);
    if (argument.value() != nullptr) {
      const TensorType& tensor = view.tensor(name);
      Promotion::add(tensor.sizes->empty() ? levels.without_axes : levels.with_axes, tensor.dtype);
    } else if (argument.as_bool()) {
      Promotion::add(levels.numbers, at::kBool);
    } else {
      Promotion::add(levels.numbers,
                     argument.integer() != nullptr ? at::kLong : c10::get_default_dtype_as_scalartype());
    }
  }
  return Promotion::combine(Promotion::combine(levels.with_axes, levels.without_axes), levels.numbers).value();
}

at::ScalarType to_floating(at::ScalarType dtype) {
  return c10::isIntegralType(dtype, true) ? c10::get_default_dtype_as_scalartype() : dtype;
}

}  // namespace limbeck::graph
