// Another number of classes for a trained network.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "limbeck/graph/graph.h"
#include "limbeck/model/model.h"

namespace limbeck {

/// linear(x, W[old, C], b[old])  ==>  linear(x, W'[classes, C], b'[classes]), likewise a 1x1 convolution.
/// W' and b' are new tensors under the old names, of the old ones' type and device; types after the head follow, and
/// the names of the old classes (metadata "labels") go. Throws InvalidArgument naming the candidates when `scope` is no
/// classifier, Unsupported when its weight is tied.
void replace_head(graph::Graph& graph, std::string_view scope, const HeadOptions& options);

/// Scopes whose linear or 1x1 convolution reaches the outputs through nothing that has parameters.
std::vector<std::string> find_heads(const graph::Graph& graph);

}  // namespace limbeck
