// Classifiers that end in a softmax, a log_softmax or a sigmoid: their outputs are probabilities, and losses on logits
// (cross-entropy) apply a softmax of their own.
#pragma once

#include <optional>
#include <string>

#include "limbeck/graph/graph.h"

namespace limbeck::passes {

struct FinalActivation {
  graph::NodeId node = 0;
  std::string name;   // "softmax", "log_softmax", "sigmoid"
  std::string scope;  // of the node
};

/// The activation from which nothing but views, casts and copies lead to the output that classifies (the one named
/// "logits", else the first floating-point matrix, else the first), in train mode, else in eval mode.
std::optional<FinalActivation> find_final_activation(const graph::Graph& graph);

/// linear -> softmax -> output  ==>  linear -> output
/// Drops the final activation in both modes; whether there was one. Throws Unsupported where something else uses what
/// it makes.
bool drop_final_activation(graph::Graph& graph);

}  // namespace limbeck::passes
