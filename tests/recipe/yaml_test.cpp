#include "limbeck/recipe/yaml.h"

#include <gtest/gtest.h>

#include <functional>

#include "limbeck/core/error.h"

namespace limbeck::recipe {
namespace {

std::string refusal(const std::function<void()>& call) {
  try {
    call();
  } catch (const InvalidArgument& error) {
    return error.what();
  }
  return "accepted";
}

std::string parse_refusal(const std::string& text) {
  return refusal([&] { parse_yaml(text, "a.yaml"); });
}

std::string nested(int depth) { return std::string(depth, '[') + std::string(depth, ']'); }

TEST(Yaml, KnowsThePlacesOfKeysAndValues) {
  const YamlDocument document = parse_yaml("name: x\ndata:\n  # a comment\n  sizes: [1, 22]\n", "a.yaml");
  const YamlNode& name = *document.root.find("name");
  EXPECT_EQ(document.place(name), "a.yaml:1:7");
  EXPECT_EQ(document.key_place(name), "a.yaml:1:1");
  const YamlNode& data = *document.root.find("data");
  EXPECT_EQ(document.place(data), "a.yaml:4:3");
  EXPECT_EQ(document.key_place(data), "a.yaml:2:1");
  EXPECT_EQ(document.place(data.find("sizes")->elements.at(1)), "a.yaml:4:14");
  EXPECT_EQ(document.root.find("nothing"), nullptr);
}

TEST(Yaml, TellsKindsAndQuotesApart) {
  const YamlDocument document = parse_yaml("{a: 1, b: '1', c: \"x\\ty\", d: , e: ~, f: null, g: [], h: {}}", "a.yaml");
  const auto& members = document.root.members;
  ASSERT_EQ(members.size(), 8U);
  EXPECT_FALSE(members[0].value.is_quoted);
  EXPECT_TRUE(members[1].value.is_quoted);
  EXPECT_EQ(members[2].value.text, "x\ty");
  for (const std::size_t null : {3, 4, 5}) EXPECT_EQ(members[null].value.kind, YamlNode::Kind::null) << null;
  EXPECT_EQ(members[6].value.kind, YamlNode::Kind::sequence);
  EXPECT_EQ(members[7].value.kind, YamlNode::Kind::mapping);
}

TEST(Yaml, FollowsAnchors) {
  const YamlDocument document = parse_yaml("a: &x {lr: 0.1}\nb: *x\n", "a.yaml");
  EXPECT_EQ(document.root.find("b")->find("lr")->text, "0.1");
  EXPECT_EQ(document.place(*document.root.find("b")->find("lr")), "a.yaml:1:12");  // where it was written
  EXPECT_EQ(document.key_place(*document.root.find("b")), "a.yaml:2:1");
}

TEST(Yaml, RefusesDuplicateKeysAtTheSecond) {
  EXPECT_EQ(parse_refusal("a: 1\nb: 2\na: 3\n"), "a.yaml:3:1: key 'a' stands here twice");
}

TEST(Yaml, RefusesKeysThatAreNoText) {
  EXPECT_EQ(parse_refusal("x: 1\n? [a, b]\n: 1\n"), "a.yaml:2:3: a key must be plain text");
}

TEST(Yaml, RefusesWhatIsNoYaml) {
  EXPECT_EQ(parse_refusal("a: [1, 2\nb: 3\n").substr(0, 9), "a.yaml:2:");
  EXPECT_EQ(parse_refusal("a: *nowhere\n").substr(0, 9), "a.yaml:1:");
  EXPECT_EQ(parse_refusal(""), "a.yaml: the file is empty");
  EXPECT_EQ(parse_refusal("# only a comment\n"), "a.yaml: the file is empty");
  EXPECT_EQ(parse_refusal("a: 1\n---\nb: 2\n"), "a.yaml: holds more than one document");
}

TEST(Yaml, LimitsSizeDepthAndValues) {
  EXPECT_EQ(parse_refusal(nested(kMaxYamlDepth)), "accepted");
  EXPECT_NE(parse_refusal(nested(kMaxYamlDepth + 1)).find("nested deeper than 64"), std::string::npos);
  EXPECT_NE(parse_refusal(nested(100'000)), "accepted");
  std::string many = "[";
  for (std::size_t i = 0; i <= kMaxYamlValues; ++i) many += "1,";
  EXPECT_NE(parse_refusal(many + "]").find("more than 20000 values"), std::string::npos);
  EXPECT_NE(parse_refusal(std::string(kMaxYamlBytes + 1, ' ')).find("larger than 4194304 bytes"), std::string::npos);
}

TEST(Yaml, LimitsWhatAliasesMultiply) {
  std::string laughs = "a0: &a0 [x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    const std::string before = "*a" + std::to_string(i - 1);
    laughs += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + before;
    for (int j = 1; j < 8; ++j) laughs += ", " + before;
    laughs += "]\n";
  }
  EXPECT_NE(parse_refusal(laughs).find("values once aliases are followed"), std::string::npos);
  std::string long_texts = "a: &a " + std::string(1'000'000, 'x') + "\nb: [*a";
  for (int i = 0; i < 10; ++i) long_texts += ", *a";
  EXPECT_NE(parse_refusal(long_texts + "]\n").find("aliases repeat more than"), std::string::npos);
}

std::string set_refusal(std::string_view path, std::string_view value) {
  return refusal([&] {
    YamlDocument document = parse_yaml("a: {b: 1}\nstages:\n  - train: {model: net, epochs: 1}\n", "a.yaml");
    set_yaml(document, path, value, "--set");
  });
}

std::string set_and_get(std::string_view path, std::string_view value) {
  YamlDocument document = parse_yaml(
      "a: {b: 1}\nlist: [1, {c: 2}]\nstages:\n  - train: {model: net, epochs: 1}\n  - evaluate: {}\n", "a.yaml");
  set_yaml(document, path, value, "--set");
  const YamlNode& stages = *document.root.find("stages");
  const YamlNode& train = *stages.elements[0].find("train");
  const YamlNode* option = train.find("epochs");
  return document.root.find("a")->find("b")->text + " " + (option != nullptr ? option->text : "none") + " " +
         document.root.find("list")->elements[0].text + " " + document.root.find("list")->elements[1].find("c")->text;
}

TEST(SetYaml, ReplacesValuesByKeyIndexAndResultName) {
  EXPECT_EQ(set_and_get("a.b", "7"), "7 1 1 2");
  EXPECT_EQ(set_and_get("list.0", "5"), "1 1 5 2");
  EXPECT_EQ(set_and_get("list.1.c", "5"), "1 1 1 5");
  EXPECT_EQ(set_and_get("stages.0.train.epochs", "9"), "1 9 1 2");
  EXPECT_EQ(set_and_get("stages.0.epochs", "9"), "1 9 1 2");
  EXPECT_EQ(set_and_get("stages.net.epochs", "9"), "1 9 1 2");
  EXPECT_EQ(set_and_get("stages.net.train.epochs", "9"), "1 9 1 2");
  EXPECT_EQ(set_and_get("stages.net.train", "{model: net}"), "1 none 1 2");
}

TEST(SetYaml, AddsKeysAndMappings) {
  YamlDocument document = parse_yaml("a: {}\n", "a.yaml");
  set_yaml(document, "a.b.c", "[1, 2]", "--flag");
  const YamlNode& added = *document.root.find("a")->find("b")->find("c");
  EXPECT_EQ(added.elements.size(), 2U);
  for (const YamlNode* node : {&added, &added.elements[0], document.root.find("a")->find("b")}) {
    EXPECT_EQ(document.place(*node), "--flag");
    EXPECT_EQ(document.key_place(*node), "--flag");
  }
}

TEST(SetYaml, RefusesPathsThatLeadNowhere) {
  EXPECT_EQ(set_refusal("stages.nett.epochs", "1"), "--set: there is no element 'nett' among 1. Nearest: net.");
  EXPECT_EQ(set_refusal("stages.1.epochs", "1"), "--set: there is no element '1' among 1.");
  EXPECT_EQ(set_refusal("a.b.c", "1"), "--set: 'c' stands below a plain value");
  EXPECT_EQ(set_refusal("a..c", "1"), "--set: a path is made of keys joined by dots");
  EXPECT_EQ(set_refusal("a.b", "[1").substr(0, 7), "--set:1");
}

}  // namespace
}  // namespace limbeck::recipe
