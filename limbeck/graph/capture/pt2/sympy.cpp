#include "limbeck/graph/capture/pt2/sympy.h"

#include <cctype>
#include <charconv>
#include <vector>

#include "limbeck/core/error.h"

namespace limbeck::capture {

using graph::IntExpr;

namespace {

constexpr int kMaxDepth = 64;
constexpr int64_t kMaxExponent = 8;

/// Recursive descent over NAME(argument, ...), where an argument is a call, a quoted text, an integer or NAME=value.
class SreprParser {
 public:
  explicit SreprParser(std::string_view text) : text_(text) {}

  IntExpr parse() {
    const IntExpr result = expression(0);
    if (position_ != text_.size()) refuse("has text after its end");
    return result;
  }

 private:
  [[noreturn]] void refuse(std::string_view what) const {
    fail<IoError>("[capture] size '{}' {} at column {}", text_, what, position_ + 1);
  }

  IntExpr expression(int depth) {
    if (depth > kMaxDepth) refuse("is nested too deeply");
    const std::string_view name = identifier();
    if (name.empty()) return integer();
    expect('(');
    if (name == "Symbol") return symbol();
    if (name == "Integer") {
      const int64_t value = integer();
      expect(')');
      return value;
    }
    std::vector<IntExpr> arguments;
    while (!accept(')')) {
      if (!arguments.empty()) expect(',');
      arguments.push_back(expression(depth + 1));
    }
    return apply(name, arguments);
  }

  IntExpr apply(std::string_view name, const std::vector<IntExpr>& arguments) {
    if (arguments.empty()) refuse("has a function without arguments");
    if (name == "Add" || name == "Mul" || name == "Max" || name == "Min") {
      IntExpr result = arguments.front();
      for (std::size_t i = 1; i < arguments.size(); ++i) {
        const IntExpr next = arguments[i];
        result = name == "Add"   ? result + next
                 : name == "Mul" ? result * next
                 : name == "Max" ? max(result, next)
                                 : min(result, next);
      }
      return result;
    }
    if (arguments.size() == 2) {
      if (name == "FloorDiv" || name == "CleanDiv" || name == "PythonFloorDiv")
        return floor_div(arguments[0], arguments[1]);
      if (name == "Mod" || name == "PythonMod") return mod(arguments[0], arguments[1]);
      if (name == "Pow") return power(arguments[0], arguments[1]);
    }
    if (arguments.size() == 1 && (name == "Identity" || name == "TruncToInt" || name == "FloorToInt"))
      return arguments[0];
    fail<Unsupported>("[capture] size '{}' uses {}, which sizes of a graph can't express", text_, name);
  }

  IntExpr power(IntExpr base, IntExpr exponent) {
    const std::optional<int64_t> times = exponent.constant();
    if (!times || *times < 0 || *times > kMaxExponent) refuse("has an exponent outside 0 to 8");
    IntExpr result = 1;
    for (int64_t i = 0; i < *times; ++i) result = result * base;
    return result;
  }

  /// After "Symbol(": 'name', assumption=True, ...)
  IntExpr symbol() {
    expect('\'');
    const std::string_view name = identifier();
    if (name.empty()) refuse("has a symbol without a name");
    expect('\'');
    while (!accept(')')) {
      expect(',');
      if (identifier().empty()) refuse("has an assumption without a name");
      expect('=');
      if (identifier().empty()) refuse("has an assumption without a value");
    }
    return IntExpr::symbol(name);
  }

  int64_t integer() {
    skip_space();
    int64_t value = 0;
    const char* begin = text_.data() + position_;
    const auto [end, error] = std::from_chars(begin, text_.data() + text_.size(), value);
    if (error != std::errc()) refuse("can't be read");
    position_ += static_cast<std::size_t>(end - begin);
    return value;
  }

  std::string_view identifier() {
    skip_space();
    const std::size_t start = position_;
    const auto is_part = [&](char c) {
      return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_' ||
             (position_ > start && std::isdigit(static_cast<unsigned char>(c)) != 0);
    };
    while (position_ < text_.size() && is_part(text_[position_])) ++position_;
    return text_.substr(start, position_ - start);
  }

  void skip_space() {
    while (position_ < text_.size() && text_[position_] == ' ') ++position_;
  }
  bool accept(char mark) {
    skip_space();
    if (position_ >= text_.size() || text_[position_] != mark) return false;
    ++position_;
    return true;
  }
  void expect(char mark) {
    if (!accept(mark)) refuse(fmt::format("lacks '{}'", mark));
  }

  std::string_view text_;
  std::size_t position_ = 0;
};

}  // namespace

IntExpr parse_sympy(std::string_view text) {
  constexpr std::size_t kMaxLength = 4096;
  if (text.size() > kMaxLength) fail<IoError>("[capture] a size of {} characters can't be read", text.size());
  try {
    const bool is_srepr =
        text.find("Symbol(") != std::string_view::npos || text.find("Integer(") != std::string_view::npos;
    return is_srepr ? SreprParser(text).parse() : IntExpr::parse(text);
  } catch (const InvalidArgument& error) {  // overflow, division by zero: the file's fault, not the caller's
    fail<IoError>("[capture] size '{}' can't be read: {}", text, error.what());
  }
}

}  // namespace limbeck::capture
