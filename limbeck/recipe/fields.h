// One declaration of an options struct serves all its forms: reading it from YAML (with strict keys and line numbers),
// the published JSON schema, the effective options in reports and cache keys, and flags of the command line.
//
//   void describe(Fields& fields, train::TrainOptions& options) {
//     fields.field("epochs", &options.epochs, "passes over the training set");
//     fields.section("optimizer", "how parameters are updated", [&](Fields& f) { describe(f, options.optimizer); });
//   }
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace limbeck::recipe {

/// A named choice: one of `names`.
struct Choice {
  std::vector<std::string> names;
  std::function<std::string()> get;
  std::function<void(const std::string&)> set;
};

/// A list that may be given as one number.
template <class T>
struct OneOrMore {
  std::vector<T>* values;
};

/// Where a field's value lives. Numbers of `std::map` are free-form options, taken as text and checked by their reader.
using FieldRef =
    std::variant<bool*, int64_t*, uint64_t*, double*, std::string*, std::optional<double>*, std::optional<int64_t>*,
                 std::vector<int64_t>*, std::vector<double>*, std::vector<std::string>*, Choice,
                 std::map<std::string, std::string>*, OneOrMore<int64_t>, OneOrMore<double>>;

class Fields {
 public:
  using Describe = std::function<void(Fields&)>;
  virtual ~Fields() = default;

  /// A plain value under `key`.
  virtual void field(const char* key, FieldRef value, const char* help) = 0;
  /// A mapping under `key`.
  virtual void section(const char* key, const char* help, const Describe& describe) = 0;
  /// A sequence of mappings under `key`. `element(i)` describes element i of the `size()` there are; a reader asks for
  /// more with `resize(n)`.
  struct List {
    std::function<std::size_t()> size;
    std::function<void(std::size_t)> resize;
    std::function<void(Fields&, std::size_t)> element;
  };
  virtual void list(const char* key, const char* help, const List& list) = 0;
  /// A sequence of variants, each a mapping with one key, the variant's name: `- resize: {size: 256}`. The options may
  /// be left out: `- random_horizontal_flip:`. A reader calls `clear` and then `add` for each; `element(i)` describes
  /// the options of variant i.
  struct Variants {
    std::vector<std::string> names;
    std::function<std::size_t()> size;
    std::function<std::string(std::size_t)> name;
    std::function<void()> clear;
    std::function<void(const std::string&)> add;
    std::function<void(Fields&, std::size_t)> element;
    std::function<std::string(std::size_t)> help;
  };
  virtual void variants(const char* key, const char* help, const Variants& variants) = 0;
  /// Says that `key` must be given.
  virtual void required(const char* key) = 0;
  /// Whether `key` has an effect beside the settings around it, and for which it is there, such as "kind: sgd, lars". A
  /// reader refuses a key that has none.
  virtual void only_for(const char* key, const char* settings, bool has_effect) {
    static_cast<void>(key), static_cast<void>(settings), static_cast<void>(has_effect);
  }
};

/// A List over a vector whose elements `describe(Fields&, T&)` describes.
template <class T, class DescribeElement>
Fields::List list_of(std::vector<T>& elements, DescribeElement describe) {
  return {.size = [&elements] { return elements.size(); },
          .resize = [&elements](std::size_t n) { elements.resize(n); },
          .element = [&elements, describe](Fields& fields, std::size_t i) { describe(fields, elements[i]); }};
}

}  // namespace limbeck::recipe
