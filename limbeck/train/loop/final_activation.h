// The classic mistake: a model whose last layer is a softmax, trained by a loss that applies one itself.
#pragma once

#include <optional>
#include <string>

#include "limbeck/graph/graph.h"

namespace limbeck::train {

/// What is wrong with training a model that ends so by a cross-entropy on logits, and how to mend it. Nothing where
/// the model ends in logits.
std::optional<std::string> final_activation_warning(const graph::Graph& graph);

/// Logs it as a warning.
void warn_of_final_activation(const graph::Graph& graph);

}  // namespace limbeck::train
