#include "limbeck/graph/capture/pt2/pytree.h"

#include <gtest/gtest.h>

#include "limbeck/core/error.h"

namespace limbeck::capture {
namespace {

constexpr const char* kLeaf = R"({"type": null, "context": null, "children_spec": []})";

std::string node(const std::string& type, const std::string& context, const std::string& children) {
  return R"({"type": ")" + type + R"(", "context": ")" + context + R"(", "children_spec": [)" + children + "]}";
}
std::string spec(const std::string& tree) { return "[1, " + tree + "]"; }

TEST(Pytree, NamesLeavesByTheirPath) {
  const std::string inner = node("builtins.tuple", "null", std::string(kLeaf) + ", " + kLeaf);
  const auto tree =
      parse_tree(spec(node("builtins.dict", R"([\"logits\", \"hidden\"])", std::string(kLeaf) + ", " + inner)), {});
  EXPECT_EQ(tree.kind, "dict");
  EXPECT_EQ(leaf_names(tree, "output"), (std::vector<std::string>{"logits", "hidden.0", "hidden.1"}));
  EXPECT_EQ(count_leaves(tree), 3U);
}

TEST(Pytree, NamesALoneLeaf) {
  EXPECT_EQ(leaf_names(parse_tree(spec(kLeaf), {}), "output"), std::vector<std::string>{"output"});
  EXPECT_EQ(leaf_names(parse_tree("", {}), "output"), std::vector<std::string>{"output"});
}

TEST(Pytree, TakesFieldsOfNamedTuplesFromTheFile) {
  const auto tree = parse_tree(spec(node("collections.namedtuple", "models.Heads", std::string(kLeaf) + ", " + kLeaf)),
                               {{"models.Heads", {"logits", "auxiliary"}}});
  EXPECT_EQ(tree.kind, "namedtuple");
  EXPECT_EQ(tree.type, "models.Heads");
  EXPECT_EQ(leaf_names(tree, ""), (std::vector<std::string>{"logits", "auxiliary"}));
}

TEST(Pytree, TakesKeysOfRegisteredClasses) {
  const auto tree = parse_tree(spec(node("transformers.Output", R"([\"logits\"])", kLeaf)), {});
  EXPECT_EQ(tree.kind, "dataclass");
  EXPECT_EQ(leaf_names(tree, ""), std::vector<std::string>{"logits"});
  const auto nested = parse_tree(spec(node("my.Class", R"([[\"a\"], [\"b\"]])", kLeaf)), {});
  EXPECT_EQ(leaf_names(nested, ""), std::vector<std::string>{"a"});
}

TEST(Pytree, PrunesLeavesWithTheirPlaces) {
  const auto tree = parse_tree(
      spec(node("builtins.dict", R"([\"x\", \"flag\", \"y\"])", std::string(kLeaf) + ", " + kLeaf + ", " + kLeaf)), {});
  const auto pruned = prune_leaves(tree, {true, false, true});
  EXPECT_EQ(pruned.keys, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(count_leaves(pruned), 2U);
}

TEST(Pytree, RefusesMalformedSpecs) {
  EXPECT_THROW(parse_tree("{", {}), IoError);
  EXPECT_THROW(parse_tree("[1]", {}), IoError);
  EXPECT_THROW(parse_tree(spec(node("builtins.dict", R"([\"a\", \"b\"])", kLeaf)), {}), IoError);
  EXPECT_THROW(parse_tree(spec(node("builtins.dict", "null", kLeaf)), {}), IoError);
  std::string deep = kLeaf;
  for (int i = 0; i < 40; ++i) deep = node("builtins.tuple", "null", deep);
  EXPECT_THROW(parse_tree(spec(deep), {}), IoError);
}

}  // namespace
}  // namespace limbeck::capture
