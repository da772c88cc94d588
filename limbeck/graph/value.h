// What flows through a graph and what an argument slot of a node can hold.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <c10/core/Layout.h>
#include <c10/core/MemoryFormat.h>
#include <c10/core/ScalarType.h>

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "limbeck/graph/int_expr.h"

namespace limbeck::graph {

using NodeId = uint32_t;   // index into the graph's node store; survives a copy of the graph
using ScopeId = uint32_t;  // index into the graph's scope table; 0 is the root ""

/// One output of one node.
struct ValueId {
  NodeId node = 0;
  uint32_t output = 0;
  friend auto operator<=>(const ValueId&, const ValueId&) = default;
};

/// In which mode something exists. A set: `both` is train | eval.
enum class Mode : uint8_t { none = 0, train = 1, eval = 2, both = 3 };
constexpr Mode operator|(Mode a, Mode b) { return static_cast<Mode>(static_cast<int>(a) | static_cast<int>(b)); }
constexpr Mode operator&(Mode a, Mode b) { return static_cast<Mode>(static_cast<int>(a) & static_cast<int>(b)); }
constexpr bool contains(Mode set, Mode one) { return (set & one) == one; }
const char* mode_name(Mode mode);

using Sizes = std::vector<IntExpr>;

struct TensorType {
  at::ScalarType dtype = at::kFloat;
  std::optional<Sizes> sizes;    // nullopt: unknown until inferred
  std::optional<Sizes> strides;  // nullopt: whatever the op's kernel makes
  at::Device device = at::kCPU;
  bool requires_grad = false;
  friend bool operator==(const TensorType&, const TensorType&) = default;
};
struct FloatType {
  friend bool operator==(const FloatType&, const FloatType&) = default;
};
struct BoolType {
  friend bool operator==(const BoolType&, const BoolType&) = default;
};
struct IntType {  // an int that is not known from shapes is data dependent; capture refuses it
  IntExpr expr;
  friend bool operator==(const IntType&, const IntType&) = default;
};
struct NoneType {
  friend bool operator==(const NoneType&, const NoneType&) = default;
};
struct Type;
struct ListType {  // of fixed length, each element with its own shape (chunk, split, unbind)
  std::vector<Type> elements;
  friend bool operator==(const ListType&, const ListType&);
};
struct Type {
  std::variant<NoneType, TensorType, IntType, FloatType, BoolType, ListType> kind;

  const TensorType* tensor() const { return std::get_if<TensorType>(&kind); }
  TensorType* tensor() { return std::get_if<TensorType>(&kind); }
  const ListType* list() const { return std::get_if<ListType>(&kind); }
  bool is_none() const { return std::holds_alternative<NoneType>(kind); }
  friend bool operator==(const Type&, const Type&) = default;
};
inline bool operator==(const ListType& a, const ListType& b) { return a.elements == b.elements; }

/// A constant value that stands for None in an argument slot.
struct None {
  friend bool operator==(const None&, const None&) = default;
};

/// What one schema slot of a node holds: a value of the graph, a constant, or a list of either.
struct Argument;
using ArgumentList = std::vector<Argument>;
struct Argument {
  std::variant<None, ValueId, IntExpr, double, bool, std::string, at::ScalarType, at::Device, at::Layout,
               at::MemoryFormat, ArgumentList>
      kind;

  Argument() = default;
  template <class T, class = std::enable_if_t<!std::is_same_v<std::decay_t<T>, Argument>>>
  Argument(T&& value) : kind(canonical(std::forward<T>(value))) {}  // implicit: argument lists are written as literals

  bool is_none() const { return std::holds_alternative<None>(kind); }
  const ValueId* value() const { return std::get_if<ValueId>(&kind); }
  const ArgumentList* list() const { return std::get_if<ArgumentList>(&kind); }
  const IntExpr* integer() const { return std::get_if<IntExpr>(&kind); }
  const std::string* text() const { return std::get_if<std::string>(&kind); }
  /// The constant int / float-or-int / bool, or nullopt when it is something else or symbolic.
  std::optional<int64_t> as_int() const;
  std::optional<double> as_double() const;
  std::optional<bool> as_bool() const;
  friend bool operator==(const Argument& a, const Argument& b) { return a.kind == b.kind; }

 private:
  template <class T>
  static auto canonical(T&& value) {
    using D = std::decay_t<T>;
    if constexpr (std::is_same_v<D, bool>) {
      return value;
    } else if constexpr (std::is_integral_v<D>) {
      return IntExpr(static_cast<int64_t>(value));
    } else if constexpr (std::is_floating_point_v<D>) {
      return static_cast<double>(value);
    } else if constexpr (std::is_same_v<D, std::nullptr_t> || std::is_same_v<D, std::nullopt_t>) {
      return None{};
    } else if constexpr (std::is_convertible_v<T, std::string_view> && !std::is_same_v<D, std::string>) {
      return std::string(value);
    } else if constexpr (std::is_same_v<D, std::vector<IntExpr>> || std::is_same_v<D, std::vector<int64_t>> ||
                         std::is_same_v<D, std::vector<ValueId>>) {
      return ArgumentList(value.begin(), value.end());
    } else {
      return std::forward<T>(value);
    }
  }
};

/// Calls `visit(ValueId)` for every value in `argument`, lists included, in order.
template <class F>
void for_each_value(const Argument& argument, F&& visit) {
  if (const ValueId* value = argument.value()) {
    visit(*value);
  } else if (const ArgumentList* list = argument.list()) {
    for (const Argument& element : *list) for_each_value(element, visit);
  }
}

/// Replaces every value in `argument` by `map(ValueId)`.
template <class F>
void map_values(Argument& argument, F&& map) {
  if (const ValueId* value = argument.value()) {
    argument.kind = map(*value);
  } else if (auto* list = std::get_if<ArgumentList>(&argument.kind)) {
    for (Argument& element : *list) map_values(element, map);
  }
}

/// Calls `visit(IntExpr&)` for every integer in `argument`, lists included.
template <class F>
void for_each_integer(Argument& argument, F&& visit) {
  if (auto* integer = std::get_if<IntExpr>(&argument.kind)) {
    visit(*integer);
  } else if (auto* list = std::get_if<ArgumentList>(&argument.kind)) {
    for (Argument& element : *list) for_each_integer(element, visit);
  }
}

}  // namespace limbeck::graph
