// The nesting of inputs and outputs: torch.export writes torch.utils._pytree specs as JSON text.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "limbeck/graph/graph.h"

namespace limbeck::capture {

using NamedTupleFields = std::map<std::string, std::vector<std::string>>;

/// Reads "[1, {"type": ..., "context": ..., "children_spec": [...]}]". An empty text is a single leaf. Throws IoError
/// for anything else. Classes that are registered with pytree and unknown here are dataclasses when their context is a
/// list of keys.
graph::TreeSpec parse_tree(std::string_view text, const NamedTupleFields& fields);

/// One name per leaf: "logits", "out.aux", "0", "past.0.1"; `lone` for a tree that is a single leaf.
std::vector<std::string> leaf_names(const graph::TreeSpec& tree, std::string_view lone);

/// The tree without the leaves that `keep` marks false, and without the places that held them.
graph::TreeSpec prune_leaves(const graph::TreeSpec& tree, const std::vector<bool>& keep);

std::size_t count_leaves(const graph::TreeSpec& tree);

}  // namespace limbeck::capture
