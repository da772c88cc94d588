// Text to Json: nlohmann's lexer and grammar, our values, limits and messages. The only file that includes
// nlohmann-json.
#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

#include "limbeck/core/error.h"
#include "limbeck/core/json/json.h"

namespace limbeck::core {
namespace {

// Characters of the text, counted as the lexer takes them, so that every error knows its place.
class CountingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  CountingIterator(const char* at, std::size_t* count) : at_(at), count_(count) {}

  reference operator*() const { return *at_; }
  CountingIterator& operator++() {
    ++at_;
    ++*count_;
    return *this;
  }
  CountingIterator operator++(int) {
    const CountingIterator before = *this;
    ++*this;
    return before;
  }
  friend bool operator==(const CountingIterator& a, const CountingIterator& b) { return a.at_ == b.at_; }
  friend bool operator!=(const CountingIterator& a, const CountingIterator& b) { return a.at_ != b.at_; }

 private:
  const char* at_;
  std::size_t* count_;
};

// Bytes of the document's text in a message: the last ones of what nlohmann quotes.
constexpr std::size_t kMaxQuoted = 60;

// The rule in a message of nlohmann: "[json.exception...] parse error at line 1, column 2: syntax error while ... -
// RULE".
std::string rule_of(std::string message) {
  const std::size_t colon = message.find(": ");
  if (message.starts_with("[json.exception") && colon != std::string::npos)
    message.erase(0, colon + 2);
  else if (const std::size_t bracket = message.find("] "); bracket != std::string::npos)
    message.erase(0, bracket + 2);
  // It quotes what it read of the token, which may be a whole graph.
  constexpr std::string_view kQuote = "last read: '";
  const std::size_t quote = message.find(kQuote), end = message.rfind('\'');
  if (quote == std::string::npos || end <= quote + kQuote.size() + kMaxQuoted) return message;
  std::size_t kept = end - kMaxQuoted;
  while (kept < end && (static_cast<unsigned char>(message[kept]) & 0xC0) == 0x80) ++kept;  // a whole code point
  message.replace(quote + kQuote.size(), kept - quote - kQuote.size(), "…");
  return message;
}

// Receives nlohmann's events and builds the document.
class Builder {
 public:
  using number_integer_t = std::int64_t;
  using number_unsigned_t = std::uint64_t;
  using number_float_t = double;
  using string_t = std::string;
  using binary_t = nlohmann::json::binary_t;

  Builder(std::string_view text, std::string_view source, const JsonLimits& limits)
      : text_(text), source_(source), limits_(limits) {}

  std::size_t* count() { return &count_; }
  Json take() { return std::move(root_); }

  bool null() { return add(Json()); }
  bool boolean(bool value) { return add(value); }
  bool number_integer(number_integer_t value) {
    after_number();
    return add(value);
  }
  bool number_unsigned(number_unsigned_t value) {
    after_number();
    if (value > static_cast<std::uint64_t>(INT64_MAX)) fail_here(fmt::format("integer {} is too large", value));
    return add(static_cast<std::int64_t>(value));
  }
  bool number_float(number_float_t value, const string_t& digits) {
    after_number();
    if (digits.find_first_of(".eE") == string_t::npos) fail_here(fmt::format("integer {} is too large", digits));
    return add(value);
  }
  bool string(string_t& value) { return add(std::move(value)); }
  bool binary(binary_t&) { fail_here("binary values are not JSON"); }

  bool start_object(std::size_t) { return open(Json::Object()); }
  bool start_array(std::size_t) { return open(Json::Array()); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }
  bool key(string_t& name) {
    count_value();
    Json::Object& object = open_.back()->as_object();
    if (object.find(name) != nullptr) fail_here(fmt::format("duplicate key {}", Json(name).summary()));
    slot_ = &object.insert(std::move(name), Json());
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& error) {
    fail_at(position, rule_of(error.what()));
  }

 private:
  // Puts a value where the document continues; pointers to open containers stay valid, as only the innermost one grows.
  Json* place(Json value) {
    count_value();
    num_ahead_ = 0;
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    if (open_.back()->is_object()) {
      *slot_ = std::move(value);
      return slot_;
    }
    Json::Array& array = open_.back()->as_array();
    array.push_back(std::move(value));
    return &array.back();
  }

  bool add(Json value) {
    place(std::move(value));
    return true;
  }

  bool open(Json container) {
    if (open_.size() >= static_cast<std::size_t>(limits_.max_depth))
      fail_here(fmt::format("nested deeper than {} levels", limits_.max_depth));
    open_.push_back(place(std::move(container)));
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  void count_value() {
    if (++num_values_ > limits_.max_values) fail_here(fmt::format("more than {} values", limits_.max_values));
  }

  // The lexer has read one character beyond a number, unless the text ends with it.
  void after_number() {
    const char last = count_ > 0 ? text_[count_ - 1] : '0';
    num_ahead_ = last < '0' || last > '9' ? 1 : 0;
  }

  [[noreturn]] void fail_here(std::string_view rule) const { fail_at(count_ - num_ahead_, rule); }

  [[noreturn]] void fail_at(std::size_t position, std::string_view rule) const {
    const std::string_view before = text_.substr(0, std::min(position, text_.size()));
    const auto line = 1 + std::count(before.begin(), before.end(), '\n');
    const std::size_t line_start = before.rfind('\n');
    const std::size_t column = line_start == std::string_view::npos ? before.size() : before.size() - line_start - 1;
    fail<IoError>("[json] {}:{}:{}: {}", source_, line, std::max<std::size_t>(column, 1), rule);
  }

  std::string_view text_, source_;
  JsonLimits limits_;
  std::size_t count_ = 0;
  std::size_t num_ahead_ = 0;  // characters taken beyond the current value
  std::size_t num_values_ = 0;
  Json root_;
  Json* slot_ = nullptr;  // where the value of the last key goes
  std::vector<Json*> open_;
};

}  // namespace

Json parse_json(std::string_view text, std::string_view source, const JsonLimits& limits) {
  if (text.size() > limits.max_bytes)
    fail<IoError>("[json] {} has {} bytes, the limit is {}", source, text.size(), limits.max_bytes);
  Builder builder(text, source, limits);
  const CountingIterator begin(text.data(), builder.count()), end(text.data() + text.size(), builder.count());
  nlohmann::json::sax_parse(begin, end, &builder);
  return builder.take();
}

}  // namespace limbeck::core
