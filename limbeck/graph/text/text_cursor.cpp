#include "limbeck/graph/text/text_cursor.h"

#include <algorithm>
#include <cctype>
#include <charconv>

namespace limbeck::graph {

namespace {

constexpr std::size_t kMaxExpressionLength = 4096;
constexpr std::size_t kMaxWordLength = 256;

bool is_alnum(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }
bool is_name_char(char c) { return is_alnum(c) || c == '_' || c == '.'; }

}  // namespace

void TextCursor::refuse_text(const std::string& text) const {
  const std::string_view before = text_.substr(0, std::min(position_, text_.size()));
  const auto line = std::count(before.begin(), before.end(), '\n') + 1;
  const std::size_t start = before.rfind('\n');
  const std::size_t column = before.size() - (start == std::string_view::npos ? 0 : start + 1) + 1;
  fail<InvalidArgument>("[graph] line {}, column {}: {}", line, column, text);
}

void TextCursor::skip_space() {
  while (position_ < text_.size() && text_[position_] == ' ') ++position_;
}

bool TextCursor::at_end() {
  while (position_ < text_.size() && (text_[position_] == ' ' || text_[position_] == '\n')) ++position_;
  return position_ == text_.size();
}

bool TextCursor::at_line_end() {
  skip_space();
  return position_ == text_.size() || text_[position_] == '\n';
}

void TextCursor::expect_line_end() {
  if (!at_line_end()) refuse("expected the end of the line");
}

bool TextCursor::next_is(std::string_view token) {
  skip_space();
  if (text_.substr(position_, token.size()) != token) return false;
  const std::size_t end = position_ + token.size();
  return !is_alnum(token.back()) || end >= text_.size() || !is_name_char(text_[end]);
}

bool TextCursor::accept(std::string_view token) {
  if (!next_is(token)) return false;
  position_ += token.size();
  return true;
}

void TextCursor::expect(std::string_view token) {
  if (!accept(token)) refuse("expected '{}'", token);
}

std::string_view TextCursor::word(std::string_view more) {
  skip_space();
  const std::size_t start = position_;
  while (position_ < text_.size() &&
         (is_name_char(text_[position_]) || more.find(text_[position_]) != std::string_view::npos)) {
    ++position_;
  }
  const std::string_view found = text_.substr(start, position_ - start);
  if (found.empty()) refuse("expected a word");
  if (found.size() > kMaxWordLength) refuse("a word is longer than {} characters", kMaxWordLength);
  return found;
}

std::string_view TextCursor::peek_word() {
  skip_space();
  std::size_t end = position_;
  while (end < text_.size() && is_name_char(text_[end])) ++end;
  return text_.substr(position_, end - position_);
}

std::string TextCursor::name() {
  skip_space();
  if (position_ < text_.size() && text_[position_] == '"') return quoted_text();
  const std::string_view found = peek_word();
  if (found.empty()) refuse("expected a name");
  position_ += found.size();
  return std::string(found);
}

char TextCursor::escape() {
  if (position_ >= text_.size()) refuse("a text does not end");
  const char c = text_[position_++];
  if (c == '"' || c == '\\') return c;
  if (c == 'n') return '\n';
  if (c != 'x' || position_ + 2 > text_.size()) refuse("unknown escape '\\{}'", c);
  int value = 0;
  const char* digits = text_.data() + position_;
  const auto [end, error] = std::from_chars(digits, digits + 2, value, 16);
  if (error != std::errc() || end != digits + 2) refuse("\\x needs two hexadecimal digits");
  position_ += 2;
  return static_cast<char>(value);
}

std::string TextCursor::quoted_text() {
  expect("\"");
  std::string result;
  for (;;) {
    const std::size_t end = std::min(text_.find_first_of("\"\\\n", position_), text_.size());
    result += text_.substr(position_, end - position_);
    position_ = end;
    if (end == text_.size() || text_[end] == '\n') refuse("a text does not end");
    ++position_;
    if (text_[end] == '"') return result;
    result += escape();
  }
}

int64_t TextCursor::integer(int64_t low, int64_t high) {
  skip_space();
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text_.data() + position_, text_.data() + text_.size(), value);
  if (error != std::errc()) refuse("expected an integer");
  if (value < low || value > high) refuse("{} must lie in [{}, {}]", value, low, high);
  position_ = static_cast<std::size_t>(end - text_.data());
  return value;
}

uint64_t TextCursor::bits() {
  skip_space();
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text_.data() + position_, text_.data() + text_.size(), value);
  if (error != std::errc()) refuse("expected a number");
  position_ = static_cast<std::size_t>(end - text_.data());
  return value;
}

std::optional<double> TextCursor::decimal() {
  skip_space();
  std::size_t end = position_;
  if (end < text_.size() && text_[end] == '-') ++end;
  if (end >= text_.size() || std::isdigit(static_cast<unsigned char>(text_[end])) == 0) return std::nullopt;
  double value = 0;
  const auto [stop, error] = std::from_chars(text_.data() + position_, text_.data() + text_.size(), value);
  const std::string_view taken = text_.substr(position_, static_cast<std::size_t>(stop - text_.data()) - position_);
  if (taken.find_first_of(".eE") == std::string_view::npos) return std::nullopt;
  if (error != std::errc()) refuse("'{}' is not a finite number", taken);
  position_ += taken.size();
  return value;
}

IntExpr TextCursor::expression() {
  skip_space();
  std::size_t end = position_;
  for (int depth = 0; end < text_.size(); ++end) {
    const char c = text_[end];
    if (c == '(') ++depth;
    if ((c == ')' || c == ',') && depth == 0) break;
    if (c == ')') --depth;
    if (!is_alnum(c) && std::string_view("_+-*/%(), ").find(c) == std::string_view::npos) break;
  }
  std::string_view found = text_.substr(position_, end - position_);
  while (!found.empty() && found.back() == ' ') found.remove_suffix(1);
  if (found.empty()) refuse("expected an integer expression");
  if (found.size() > kMaxExpressionLength) refuse("an expression is longer than {} characters", kMaxExpressionLength);
  try {
    const IntExpr result = IntExpr::parse(found);
    position_ += found.size();
    return result;
  } catch (const InvalidArgument& error) {
    refuse("{}", error.what());
  }
}

}  // namespace limbeck::graph
