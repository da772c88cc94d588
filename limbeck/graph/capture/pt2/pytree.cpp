#include "limbeck/graph/capture/pt2/pytree.h"

#include <fmt/format.h>

#include <functional>

#include "limbeck/core/error.h"
#include "limbeck/core/json/json.h"

namespace limbeck::capture {

using core::JsonView;
using graph::TreeSpec;

namespace {

constexpr int kMaxTreeDepth = 32;

std::vector<std::string> keys_in(const core::Json& context, const std::string& type) {
  std::vector<std::string> keys;
  if (!context.is_array()) fail<IoError>("[capture] the tree of {} has no list of keys", type);
  for (const core::Json& key : context.as_array()) keys.push_back(key.is_string() ? key.as_string() : key.dump());
  return keys;
}

/// Newer files have the context as JSON text inside a string, older ones as a plain string.
core::Json context_of(const JsonView& json) {
  const auto context = json.get("context");
  if (!context) return {};
  if (!context->value().is_string()) return context->value();
  const std::string& text = context->as_string();
  const bool is_json =
      !text.empty() && (text.front() == '[' || text.front() == '{' || text.front() == '"' || text == "null");
  return is_json
             ? core::parse_json(text, "pytree context", {.max_bytes = 1 << 20, .max_values = 100'000, .max_depth = 16})
             : core::Json(text);
}

class TreeReader {
 public:
  explicit TreeReader(const NamedTupleFields& fields) : fields_(fields) {}

  TreeSpec read(const JsonView& json, int depth) const {
    if (depth > kMaxTreeDepth) json.fail("must not nest deeper than 32");
    TreeSpec tree;
    const auto type = json.get("type");
    if (!type) return tree;
    for (const JsonView& child : json["children_spec"].elements()) tree.children.push_back(read(child, depth + 1));
    describe(type->as_string(), context_of(json), tree);
    if (!tree.keys.empty() && tree.keys.size() != tree.children.size())
      json.fail(fmt::format("must have one child for each of its {} keys", tree.keys.size()));
    return tree;
  }

 private:
  void describe(const std::string& type, const core::Json& context, TreeSpec& tree) const {
    if (type == "builtins.tuple" || type == "torch.Size") {
      tree.kind = "tuple";
    } else if (type == "builtins.list" || type == "collections.deque") {
      tree.kind = "list";
    } else if (type == "builtins.dict" || type == "collections.OrderedDict") {
      tree.kind = "dict";
      tree.keys = keys_in(context, type);
    } else if (type == "collections.defaultdict") {  // context: [factory, keys]
      tree.kind = "dict";
      if (!context.is_array() || context.as_array().size() != 2)
        fail<IoError>("[capture] a defaultdict's tree lacks its keys");
      tree.keys = keys_in(context.as_array()[1], type);
    } else if (type == "collections.namedtuple") {
      tree.kind = "namedtuple";
      tree.type = context.is_string() ? context.as_string() : std::string();
      const auto found = fields_.find(tree.type);
      if (found != fields_.end()) tree.keys = found->second;
    } else {
      describe_registered(type, context, tree);
    }
  }

  /// A class registered by the user or a library (transformers' ModelOutput): keys, or [keys, None-valued keys].
  static void describe_registered(const std::string& type, const core::Json& context, TreeSpec& tree) {
    tree.kind = "dataclass";
    tree.type = type;
    if (!context.is_array()) return;
    const core::Json::Array& items = context.as_array();
    const bool is_nested = !items.empty() && items.front().is_array();
    tree.keys = keys_in(is_nested ? items.front() : context, type);
    if (tree.keys.size() != tree.children.size()) tree.keys.clear();
  }

  const NamedTupleFields& fields_;
};

void collect_names(const TreeSpec& tree, const std::string& prefix, std::vector<std::string>& names) {
  if (tree.kind == "leaf") {
    names.push_back(prefix);
    return;
  }
  for (std::size_t i = 0; i < tree.children.size(); ++i) {
    const std::string part = i < tree.keys.size() ? tree.keys[i] : std::to_string(i);
    collect_names(tree.children[i], prefix.empty() ? part : fmt::format("{}.{}", prefix, part), names);
  }
}

/// False when nothing of `tree` is left.
bool prune(const TreeSpec& tree, const std::vector<bool>& keep, std::size_t& leaf, TreeSpec& result) {
  result = {.kind = tree.kind, .type = tree.type, .keys = {}, .children = {}};
  if (tree.kind == "leaf") return keep[leaf++];
  bool lost_all = !tree.children.empty();
  for (std::size_t i = 0; i < tree.children.size(); ++i) {
    TreeSpec child;
    if (!prune(tree.children[i], keep, leaf, child)) continue;
    lost_all = false;
    result.children.push_back(std::move(child));
    if (i < tree.keys.size()) result.keys.push_back(tree.keys[i]);
  }
  return !lost_all;
}

}  // namespace

TreeSpec parse_tree(std::string_view text, const NamedTupleFields& fields) {
  if (text.empty()) return {};
  const core::Json document = core::parse_json(text, "pytree", {.max_bytes = 16 << 20, .max_values = 1'000'000});
  return TreeReader(fields).read(JsonView(document, "[capture] pytree")[1], 0);
}

std::vector<std::string> leaf_names(const TreeSpec& tree, std::string_view lone) {
  if (tree.kind == "leaf") return {std::string(lone)};
  std::vector<std::string> names;
  collect_names(tree, "", names);
  return names;
}

TreeSpec prune_leaves(const TreeSpec& tree, const std::vector<bool>& keep) {
  LIMBECK_ASSERT(keep.size() == count_leaves(tree), "[capture] a tree of {} leaves got {} marks", count_leaves(tree),
                 keep.size());
  TreeSpec result;
  std::size_t leaf = 0;
  prune(tree, keep, leaf, result);
  return result;
}

std::size_t count_leaves(const TreeSpec& tree) {
  if (tree.kind == "leaf") return 1;
  std::size_t count = 0;
  for (const TreeSpec& child : tree.children) count += count_leaves(child);
  return count;
}

}  // namespace limbeck::capture
