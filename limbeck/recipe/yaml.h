// YAML with places: a tree that knows file, line and column of every value, so that errors can name them. The text is
// untrusted: size, depth, number of values and aliases are limited.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace limbeck::recipe {

inline constexpr std::size_t kMaxYamlBytes = std::size_t{4} << 20;
inline constexpr std::size_t kMaxYamlValues = 20'000;  // after aliases are followed, each anchor once more
inline constexpr int kMaxYamlDepth = 64;

struct YamlMember;

struct YamlNode {
  enum class Kind { null, scalar, sequence, mapping };
  Kind kind = Kind::null;
  std::string text;                  // scalar
  bool is_quoted = false;            // scalar: quoted text is never a number or a bool
  std::vector<YamlNode> elements;    // sequence
  std::vector<YamlMember> members;   // mapping, in order
  int line = 0, column = 0;          // from 1
  int key_line = 0, key_column = 0;  // of the key that this is the value of
  std::string origin;                // what put it here instead of the text: "--set seed"

  const YamlNode* find(std::string_view key) const;
};

struct YamlMember {
  std::string key;
  YamlNode value;
};

struct YamlDocument {
  std::string source;  // file name, for messages; empty: text that a program made
  YamlNode root;

  /// "recipes/a.yaml:12:5", an override's origin, or "command line" where there is no file.
  std::string place(const YamlNode& node) const;
  /// Place of the key that `value` stands under.
  std::string key_place(const YamlNode& value) const;
};

/// Throws InvalidArgument "FILE:LINE:COLUMN: ..." for what is not YAML, duplicate keys, several documents, or limits.
YamlDocument parse_yaml(std::string_view text, std::string source);

/// A value as YAML on one line, which parse_yaml reads back.
std::string to_flow_text(const YamlNode& node);

/// Puts `value` (YAML text) at `path`: keys and indices joined by dots ("stages.0.train.epochs"); a stage is also found
/// by its result's name, and its kind may be left out ("stages.teacher.epochs"). New keys may be added to mappings.
/// `origin` is what messages call the value's place. Throws InvalidArgument when a step of the path does not exist,
/// naming the nearest.
void set_yaml(YamlDocument& document, std::string_view path, std::string_view value, const std::string& origin);

}  // namespace limbeck::recipe
