// Integer expressions: the sizes, strides and integer arguments of a graph, constant or in terms of symbols (the
// batch). An expression is immutable and kept in normal form: a polynomial with integer coefficients over atoms
// (symbols, floor divisions, remainders, maxima, minima). Non-constant expressions are interned, so equality is a
// pointer comparison. Symbols stand for sizes: they are at least 1 when a graph runs, which lets B*64 // B simplify
// to 64.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>

namespace limbeck::graph {

struct ExprData;

/// Values of symbols for one run, by name.
using Bindings = std::map<std::string, int64_t, std::less<>>;

class IntExpr {
 public:
  IntExpr() = default;
  template <class T, class = std::enable_if_t<std::is_integral_v<T> && !std::is_same_v<T, bool>>>
  IntExpr(T value) : value_(static_cast<int64_t>(value)) {}  // implicit: sizes are mostly written as numbers

  /// The symbol `name`: letters, digits and '_', not starting with a digit.
  static IntExpr symbol(std::string_view name);

  bool is_constant() const { return data_ == nullptr; }
  /// The value of a constant expression, else nullopt.
  std::optional<int64_t> constant() const { return is_constant() ? std::optional<int64_t>(value_) : std::nullopt; }
  /// The name when the expression is one bare symbol, else nullopt.
  std::optional<std::string> symbol_name() const;
  /// All symbols that occur in it.
  std::set<std::string> symbols() const;

  /// Throws InvalidArgument for an unbound symbol, division by zero or overflow of 64 bits.
  int64_t evaluate(const Bindings& bindings) const;
  /// Replaces symbols by expressions; unmentioned symbols stay.
  IntExpr substitute(const std::map<std::string, IntExpr, std::less<>>& values) const;

  /// Readable and parseable: "64*B", "(H + 1)//2 + 3", "max(B, 4)".
  std::string to_string() const;
  /// Inverse of to_string; also accepts the sympy text that torch.export writes (`Mod(s0, 2)`, `FloorDiv(s0, 2)`,
  /// `s0**2`, `((s0//2)) + 1`). Throws InvalidArgument for anything else, or nesting deeper than 64.
  static IntExpr parse(std::string_view text);

  friend bool operator==(const IntExpr&, const IntExpr&) = default;
  friend IntExpr operator+(IntExpr a, IntExpr b);
  friend IntExpr operator-(IntExpr a, IntExpr b);
  friend IntExpr operator*(IntExpr a, IntExpr b);
  /// Division rounded to minus infinity, as Python's //.
  friend IntExpr floor_div(IntExpr a, IntExpr b);
  /// Remainder with the sign of the divisor, as Python's %.
  friend IntExpr mod(IntExpr a, IntExpr b);
  friend IntExpr max(IntExpr a, IntExpr b);
  friend IntExpr min(IntExpr a, IntExpr b);

 private:
  friend struct ExprData;
  explicit IntExpr(const ExprData* data) : data_(data) {}
  const ExprData* data_ = nullptr;  // null: a constant; interned data lives as long as the process
  int64_t value_ = 0;
};

IntExpr operator+(IntExpr a, IntExpr b);
IntExpr operator-(IntExpr a, IntExpr b);
IntExpr operator*(IntExpr a, IntExpr b);
IntExpr floor_div(IntExpr a, IntExpr b);
IntExpr mod(IntExpr a, IntExpr b);
IntExpr max(IntExpr a, IntExpr b);
IntExpr min(IntExpr a, IntExpr b);
/// Ceiling division of non-negative values: (a + b - 1) // b.
IntExpr ceil_div(IntExpr a, IntExpr b);

}  // namespace limbeck::graph
