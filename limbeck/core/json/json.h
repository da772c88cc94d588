// The JSON edge: a value type of our own, so that nlohmann-json is compiled once, in json.cpp. Strict (RFC 8259): no
// comments, no trailing commas, duplicate keys are errors, text is UTF-8. Integers are int64 and never pass through a
// double; doubles round-trip exactly. JSON has no NaN and no infinity: dump() refuses them, and number() / as_extended
// carry them as the strings "NaN", "Infinity" and "-Infinity" (as torch.export does).
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace limbeck::core {

class Json;

/// Key and value pairs in the order of insertion, found in O(log n).
class JsonObject {
 public:
  using Member = std::pair<std::string, Json>;

  JsonObject();
  JsonObject(std::initializer_list<Member> members);
  JsonObject(const JsonObject& other);
  JsonObject(JsonObject&& other) noexcept;
  JsonObject& operator=(const JsonObject& other);
  JsonObject& operator=(JsonObject&& other) noexcept;
  ~JsonObject();

  /// Appends; throws InvalidArgument if the key exists.
  Json& insert(std::string key, Json value);

  /// The value under `key`, appended as null if it is missing.
  Json& operator[](std::string_view key);

  /// The value under `key` or null pointer. Pointers stay valid until the object is changed.
  const Json* find(std::string_view key) const;
  Json* find(std::string_view key);

  std::size_t size() const;
  bool empty() const;
  std::vector<Member>::const_iterator begin() const;
  std::vector<Member>::const_iterator end() const;

  friend bool operator==(const JsonObject& a, const JsonObject& b);  // order of members does not count

 private:
  struct Index;
  std::size_t position(std::string_view key) const;

  std::vector<Member> members_;
  std::unique_ptr<Index> index_;  // only where there are many members
};

/// A JSON value. Typed getters throw IoError ("must be an integer, got \"x\""): JSON is data from outside. Use JsonView
/// to have the place named as well.
class Json {
 public:
  using Array = std::vector<Json>;
  using Object = JsonObject;

  Json() = default;
  Json(std::nullptr_t) {}
  Json(bool value) : value_(value) {}
  template <class T>
  requires(std::is_integral_v<T> && !std::is_same_v<T, bool>) Json(T value) : value_(checked_integer(value)) {}
  Json(double value) : value_(value) {}
  Json(float value) : value_(static_cast<double>(value)) {}
  Json(const char* value) : value_(std::string(value)) {}
  Json(std::string value) : value_(std::move(value)) {}
  Json(std::string_view value) : value_(std::string(value)) {}
  Json(Array value) : value_(std::move(value)) {}
  Json(Object value) : value_(std::move(value)) {}

  /// An array of the elements of a range of values that Json can be made of.
  template <class Range>
  static Json array(const Range& range) {
    Array result;
    for (const auto& element : range) result.emplace_back(element);
    return Json(std::move(result));
  }
  static Json object(std::initializer_list<JsonObject::Member> members = {}) { return Json(Object(members)); }

  /// A double, or the string that stands for a NaN or an infinity.
  static Json number(double value);

  bool is_null() const { return std::holds_alternative<std::monostate>(value_); }
  bool is_bool() const { return std::holds_alternative<bool>(value_); }
  bool is_int() const { return std::holds_alternative<std::int64_t>(value_); }
  bool is_double() const { return std::holds_alternative<double>(value_); }
  bool is_number() const { return is_int() || is_double(); }
  bool is_string() const { return std::holds_alternative<std::string>(value_); }
  bool is_array() const { return std::holds_alternative<Array>(value_); }
  bool is_object() const { return std::holds_alternative<Object>(value_); }

  bool as_bool() const;
  std::int64_t as_int() const;
  double as_double() const;           // an integer too, if a double holds it exactly
  double as_extended_double() const;  // also "NaN", "Infinity", "-Infinity"
  const std::string& as_string() const;
  const Array& as_array() const;
  Array& as_array();
  const Object& as_object() const;
  Object& as_object();

  /// Member of an object; a null value becomes an object first. Throws IoError on other kinds.
  Json& operator[](std::string_view key);
  Json& operator[](const char* key) { return (*this)[std::string_view(key)]; }

  /// Appends to an array; a null value becomes an array first. Throws IoError on other kinds.
  void push_back(Json value);

  /// Member of an object, or null pointer if it is missing or this is no object.
  const Json* find(std::string_view key) const;

  /// Text: on one line, or with `indent` spaces per level. Equal values give equal text. Doubles are the shortest text
  /// that reads back to the same bits and always hold '.' or 'e'. Throws InvalidArgument for NaN, infinities and
  /// strings that are not UTF-8.
  std::string dump(int indent = -1) const;

  /// The value as an error message shows it: dump() cut to 40 characters; containers as "an array of 3", "an object".
  std::string summary() const;

  friend bool operator==(const Json& a, const Json& b);

 private:
  template <class T>
  static std::int64_t checked_integer(T value) {
    if constexpr (std::is_unsigned_v<T> && sizeof(T) == 8)
      if (value > static_cast<T>(INT64_MAX)) throw_integer_too_large(value);
    return static_cast<std::int64_t>(value);
  }
  [[noreturn]] static void throw_integer_too_large(std::uint64_t value);

  std::variant<std::monostate, bool, std::int64_t, double, std::string, Array, Object> value_;
};

/// Bounds on untrusted text. A value costs about 40 bytes, so memory is bounded by bytes + 80 · values.
struct JsonLimits {
  std::size_t max_bytes = std::size_t{512} << 20;
  std::size_t max_values = 32'000'000;  // values and keys
  int max_depth = 128;                  // nesting of arrays and objects
};

/// Parses one JSON document. Throws IoError "[json] SOURCE:LINE:COLUMN: what is wrong", also for duplicate keys,
/// integers outside int64, numbers that overflow a double and text beyond `limits`. `source` names the text in
/// messages.
Json parse_json(std::string_view text, std::string_view source = "text", const JsonLimits& limits = {});

/// A place in a document: reads like Json and names its path when it throws:
/// "[lmb] config.layers[3].width must be an integer, got \"x\"". Cheap to copy; finds its path only when it must tell
/// it. Refers to the document and to `name`, which must outlive it.
class JsonView {
 public:
  /// `name` is what paths start with: "config", or "[lmb] graph".
  JsonView(const Json& root, std::string_view name) : root_(&root), value_(&root), name_(name) {}

  /// Member or element. Throws IoError if the kind is wrong, the key is missing (naming the nearest) or the index is
  /// out of range.
  JsonView operator[](std::string_view key) const;
  JsonView operator[](const char* key) const { return (*this)[std::string_view(key)]; }
  JsonView operator[](std::size_t index) const;
  JsonView operator[](int index) const;

  /// The member, or nothing if it is missing or null. Throws IoError if this is no object.
  std::optional<JsonView> get(std::string_view key) const;

  bool has(std::string_view key) const { return get(key).has_value(); }
  bool is_null() const { return value_->is_null(); }

  bool as_bool() const;
  std::int64_t as_int() const;
  /// An integer in [low, high]: "must lie in [1, 64], got 0".
  std::int64_t as_int(std::int64_t low, std::int64_t high) const;
  double as_double() const;
  double as_extended_double() const;
  const std::string& as_string() const;
  const Json::Array& as_array() const;
  const Json::Object& as_object() const;
  std::vector<std::int64_t> as_ints() const;
  std::vector<std::string> as_strings() const;

  /// Elements of an array / number of elements of an array or object. Throws IoError on other kinds.
  std::vector<JsonView> elements() const;
  std::size_t size() const;

  /// Members of an object, each with its view. Throws IoError on other kinds.
  std::vector<std::pair<std::string_view, JsonView>> members() const;

  /// Throws IoError if the object has a key beyond `known`, naming the nearest known one.
  void allow_only(std::initializer_list<std::string_view> known) const;

  /// Throws IoError "PATH RULE, got VALUE": for rules of the caller's own.
  [[noreturn]] void fail(std::string_view rule) const;

  const Json& value() const { return *value_; }
  std::string path() const;

 private:
  JsonView(const Json* root, const Json* value, std::string_view name) : root_(root), value_(value), name_(name) {}

  const Json* root_;
  const Json* value_;
  std::string_view name_;
};

}  // namespace limbeck::core
