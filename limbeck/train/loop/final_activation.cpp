#include "limbeck/train/loop/final_activation.h"

#include <fmt/format.h>

#include "limbeck/core/log.h"
#include "limbeck/graph/passes/final_activation.h"

namespace limbeck::train {

std::optional<std::string> final_activation_warning(const graph::Graph& graph) {
  const std::optional<passes::FinalActivation> found = passes::find_final_activation(graph);
  if (!found) return std::nullopt;
  const std::string where = found->scope.empty() ? "" : fmt::format(" ('{}')", found->scope);
  const char* effect = found->name == "log_softmax" ? "the second one changes nothing and costs time"
                                                    : "gradients are far too small and training is slow or gets stuck";
  return fmt::format(
      "[train] the model ends in a {}{}, and cross-entropy applies a softmax itself: {}. Train on logits: "
      "drop_softmax: true of the model in a recipe, --model.drop_softmax true, or passes::drop_final_activation in "
      "C++.",
      found->name, where, effect);
}

void warn_of_final_activation(const graph::Graph& graph) {
  if (const std::optional<std::string> warning = final_activation_warning(graph)) core::log_warning("{}", *warning);
}

}  // namespace limbeck::train
