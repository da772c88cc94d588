#include "limbeck/recipe/yaml.h"

#include <fmt/ranges.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <sstream>
#include <tuple>

#include "limbeck/core/error.h"
#include "limbeck/core/json/json.h"

namespace limbeck::recipe {

namespace {

/// Builds our tree from yaml-cpp's events, within the limits.
class TreeBuilder : public YAML::EventHandler {
 public:
  explicit TreeBuilder(const std::string& source) : source_(source) {}

  YamlNode take_root() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { put(make(mark, YamlNode::Kind::null), anchor); }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    YamlNode node = make(mark, YamlNode::Kind::scalar);
    node.is_quoted = tag == "!";
    const bool is_null = !node.is_quoted && (value.empty() || value == "~" || value == "null");
    if (is_null) node.kind = YamlNode::Kind::null;
    node.text = value;
    put(std::move(node), anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) fail_at(mark, "an alias stands before its anchor");
    count(found->second, mark);
    put(YamlNode(found->second), YAML::NullAnchor);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(make(mark, YamlNode::Kind::sequence), anchor, mark);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(make(mark, YamlNode::Kind::mapping), anchor, mark);
  }
  void OnMapEnd() override { close(); }

 private:
  struct OpenNode {
    YamlNode node;
    YAML::anchor_t anchor;
    std::optional<YamlNode> key;  // of a mapping, while its value is awaited
  };

  [[noreturn]] void fail_at(const YAML::Mark& mark, std::string_view message) const {
    fail<InvalidArgument>("{}:{}:{}: {}", source_, mark.line + 1, mark.column + 1, message);
  }
  [[noreturn]] void fail_at(const YamlNode& node, std::string_view message) const {
    fail<InvalidArgument>("{}:{}:{}: {}", source_, node.line, node.column, message);
  }

  YamlNode make(const YAML::Mark& mark, YamlNode::Kind kind) {
    if (++values_ > kMaxYamlValues) fail_at(mark, fmt::format("more than {} values", kMaxYamlValues));
    YamlNode node;
    node.kind = kind;
    node.line = mark.line + 1;
    node.column = mark.column + 1;
    return node;
  }

  /// Counts a copy of `node` that is made at `place`, text included: an alias repeats both.
  template <class Place>
  void count(const YamlNode& node, const Place& place) {
    copied_bytes_ += node.text.size();
    if (++values_ > kMaxYamlValues)
      fail_at(place, fmt::format("more than {} values once aliases are followed", kMaxYamlValues));
    if (copied_bytes_ > kMaxYamlBytes) fail_at(place, fmt::format("aliases repeat more than {} bytes", kMaxYamlBytes));
    for (const YamlNode& element : node.elements) count(element, place);
    for (const auto& [key, value] : node.members) {
      copied_bytes_ += key.size();
      count(value, place);
    }
  }

  void open(YamlNode node, YAML::anchor_t anchor, const YAML::Mark& mark) {
    if (open_.size() >= static_cast<std::size_t>(kMaxYamlDepth))
      fail_at(mark, fmt::format("nested deeper than {}", kMaxYamlDepth));
    open_.push_back({.node = std::move(node), .anchor = anchor, .key = std::nullopt});
  }

  void close() {
    OpenNode done = std::move(open_.back());
    open_.pop_back();
    put(std::move(done.node), done.anchor);
  }

  void put(YamlNode node, YAML::anchor_t anchor) {
    if (anchor != YAML::NullAnchor) {
      count(node, node);
      anchors_[anchor] = node;
    }
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    OpenNode& parent = open_.back();
    if (parent.node.kind == YamlNode::Kind::sequence) {
      parent.node.elements.push_back(std::move(node));
    } else if (!parent.key) {
      check_key(parent.node, node);
      parent.key = std::move(node);
    } else {
      node.key_line = parent.key->line;
      node.key_column = parent.key->column;
      if (node.kind == YamlNode::Kind::null)
        std::tie(node.line, node.column) = std::tie(node.key_line, node.key_column);
      parent.node.members.push_back({.key = std::move(parent.key->text), .value = std::move(node)});
      parent.key.reset();
    }
  }

  void check_key(const YamlNode& mapping, const YamlNode& key) const {
    if (key.kind != YamlNode::Kind::scalar) fail_at(key, "a key must be plain text");
    if (mapping.find(key.text) != nullptr) fail_at(key, fmt::format("key '{}' stands here twice", key.text));
  }

  const std::string& source_;
  YamlNode root_;
  std::vector<OpenNode> open_;
  std::map<YAML::anchor_t, YamlNode> anchors_;
  std::size_t values_ = 0, copied_bytes_ = 0;
};

std::optional<std::size_t> parse_index(std::string_view text) {
  std::size_t index = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), index);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return index;
}

std::vector<std::string> split_path(std::string_view path) {
  std::vector<std::string> parts;
  std::size_t start = 0;
  for (std::size_t dot = path.find('.'); dot != std::string_view::npos; dot = path.find('.', start)) {
    parts.emplace_back(path.substr(start, dot - start));
    start = dot + 1;
  }
  parts.emplace_back(path.substr(start));
  return parts;
}

const YamlNode* member_text(const YamlNode& mapping, std::string_view key) {
  const YamlNode* member = mapping.find(key);
  return member != nullptr && member->kind == YamlNode::Kind::scalar ? member : nullptr;
}

/// The name that a stage's result goes by, as options.cpp's stage_name gives it; a stage is `{train: {...}}`.
std::string result_name(const YamlNode& stage) {
  if (stage.kind != YamlNode::Kind::mapping || stage.members.size() != 1) return {};
  for (const char* key : {"name", "model", "student"}) {
    if (const YamlNode* text = member_text(stage.members.front().value, key)) return text->text;
  }
  return stage.members.front().key;
}

/// The element of a sequence that a step of a path names: by index, else by a stage's result name.
YamlNode& element_at(YamlNode& sequence, const std::string& step, const std::string& origin) {
  const std::optional<std::size_t> index = parse_index(step);
  if (index && *index < sequence.elements.size()) return sequence.elements[*index];
  std::vector<std::string> names;
  for (YamlNode& element : sequence.elements) {
    names.push_back(result_name(element));
    if (!index && names.back() == step) return element;
  }
  fail<InvalidArgument>("{}: there is no element '{}' among {}.{}", origin, step, names.size(),
                        nearest_hint(step, names));
}

YamlNode& member_at(YamlNode& mapping, const std::string& step, const std::string& origin) {
  if (mapping.kind == YamlNode::Kind::null) mapping.kind = YamlNode::Kind::mapping;
  LIMBECK_CHECK(mapping.kind == YamlNode::Kind::mapping, "{}: '{}' stands below a plain value", origin, step);
  for (auto& [key, value] : mapping.members) {
    if (key == step) return value;
  }
  YamlMember& added = mapping.members.emplace_back();
  added.key = step;
  added.value.origin = origin;
  return added.value;
}

/// The value at `path`, made where it is missing. A stage is `{train: {...}}`, whose key may be left out of the path.
YamlNode& value_at(YamlNode& root, const std::vector<std::string>& steps, const std::string& origin) {
  YamlNode* node = &root;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    LIMBECK_CHECK(!steps[i].empty(), "{}: a path is made of keys joined by dots", origin);
    if (node->kind != YamlNode::Kind::sequence) {
      node = &member_at(*node, steps[i], origin);
      continue;
    }
    node = &element_at(*node, steps[i], origin);
    const bool is_stage = i == 1 && steps[0] == "stages" && node->members.size() == 1;
    if (is_stage && i + 1 < steps.size() && node->find(steps[i + 1]) == nullptr) node = &node->members.front().value;
  }
  return *node;
}

}  // namespace

const YamlNode* YamlNode::find(std::string_view key) const {
  const auto found =
      std::find_if(members.begin(), members.end(), [key](const YamlMember& member) { return member.key == key; });
  return found == members.end() ? nullptr : &found->value;
}

std::string YamlDocument::place(const YamlNode& node) const {
  if (!node.origin.empty()) return node.origin;
  return source.empty() ? "command line" : fmt::format("{}:{}:{}", source, node.line, node.column);
}

std::string YamlDocument::key_place(const YamlNode& value) const {
  const bool has_key = value.origin.empty() && value.key_line > 0 && !source.empty();
  return has_key ? fmt::format("{}:{}:{}", source, value.key_line, value.key_column) : place(value);
}

YamlDocument parse_yaml(std::string_view text, std::string source) {
  LIMBECK_CHECK(text.size() <= kMaxYamlBytes, "{}: larger than {} bytes", source, kMaxYamlBytes);
  YamlDocument document{.source = std::move(source), .root = {}};
  std::istringstream stream{std::string(text)};
  TreeBuilder builder(document.source);
  try {
    YAML::Parser parser(stream);
    LIMBECK_CHECK(parser.HandleNextDocument(builder), "{}: the file is empty", document.source);
    document.root = builder.take_root();
    TreeBuilder rest(document.source);
    LIMBECK_CHECK(!parser.HandleNextDocument(rest), "{}: holds more than one document", document.source);
  } catch (const YAML::Exception& error) {
    fail<InvalidArgument>("{}:{}:{}: {}", document.source, error.mark.line + 1, error.mark.column + 1, error.msg);
  }
  return document;
}

void set_yaml(YamlDocument& document, std::string_view path, std::string_view value, const std::string& origin) {
  YamlDocument parsed = parse_yaml(value, origin);
  const auto set_origin = [&origin](auto&& self, YamlNode& target) -> void {
    target.origin = origin;
    for (YamlNode& element : target.elements) self(self, element);
    for (YamlMember& member : target.members) self(self, member.value);
  };
  set_origin(set_origin, parsed.root);
  value_at(document.root, split_path(path), origin) = std::move(parsed.root);
}

std::string to_flow_text(const YamlNode& node) {
  std::vector<std::string> parts;
  switch (node.kind) {
    case YamlNode::Kind::null:
      return "~";
    case YamlNode::Kind::scalar:
      return node.is_quoted ? core::Json(node.text).dump() : node.text;
    case YamlNode::Kind::sequence:
      for (const YamlNode& element : node.elements) parts.push_back(to_flow_text(element));
      return fmt::format("[{}]", fmt::join(parts, ", "));
    case YamlNode::Kind::mapping:
      for (const auto& [key, value] : node.members)
        parts.push_back(core::Json(key).dump() + ": " + to_flow_text(value));
      return fmt::format("{{{}}}", fmt::join(parts, ", "));
  }
  fail<InternalError>("[yaml] unknown kind");
}

}  // namespace limbeck::recipe
