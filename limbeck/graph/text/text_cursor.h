// Internal to limbeck/graph: a place in the text form, and how its smallest pieces are read. Spaces separate pieces;
// newlines end statements. Everything throws InvalidArgument "line L, column C: ...".
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "limbeck/core/error.h"
#include "limbeck/graph/int_expr.h"

namespace limbeck::graph {

class TextCursor {
 public:
  explicit TextCursor(std::string_view text) : text_(text) {}

  /// Skips newlines and spaces; true at the end of the text.
  bool at_end();
  /// True before a newline or the end.
  bool at_line_end();
  void expect_line_end();
  /// Takes `token` if it comes next; a token that ends in a letter must not go on with another.
  bool accept(std::string_view token);
  void expect(std::string_view token);
  bool next_is(std::string_view token);

  /// A quoted text or a plain name (letters, digits, '_', '.').
  std::string name();
  std::string quoted_text();
  /// Letters, digits, '_', '.' and ':' without quotes; at most 256.
  std::string_view word(std::string_view more = {});
  /// A word that is looked at and not taken; empty when none is there.
  std::string_view peek_word();
  int64_t integer(int64_t low, int64_t high);
  uint64_t bits();
  /// Text up to the next ',', ')' or other mark outside of parentheses, as an integer expression.
  IntExpr expression();
  /// A float, or nothing (and nothing taken) when an expression stands here.
  std::optional<double> decimal();

  template <class... Args>
  [[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) const {
    refuse_text(fmt::format(format, std::forward<Args>(args)...));
  }
  std::size_t position() const { return position_; }
  void seek(std::size_t position) { position_ = position; }

 private:
  [[noreturn]] void refuse_text(const std::string& text) const;
  void skip_space();
  char escape();

  std::string_view text_;
  std::size_t position_ = 0;
};

}  // namespace limbeck::graph
