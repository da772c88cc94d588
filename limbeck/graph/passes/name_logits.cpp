#include "limbeck/graph/passes/name_logits.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <string>
#include <vector>

#include "limbeck/core/error.h"

namespace limbeck::passes {

namespace {

constexpr const char* kLogits = "logits";

bool has_output(const std::vector<graph::Output>& outputs, std::string_view name) {
  return std::any_of(outputs.begin(), outputs.end(), [&](const graph::Output& output) { return output.name == name; });
}

void rename(std::vector<graph::Output>& outputs, std::string_view name) {
  if (!has_output(outputs, name)) return;  // an output of the other mode alone
  for (graph::Output& output : outputs) {
    if (output.name == kLogits) output.name = "logits.other";
    if (output.name == name) output.name = kLogits;
  }
}

}  // namespace

bool name_logits(graph::Graph& graph, std::string_view name) {
  if (!has_output(graph.train_outputs, name) && !has_output(graph.eval_outputs, name)) {
    std::vector<std::string> names;
    for (const graph::Output& output : graph.eval_outputs) names.push_back(output.name);
    fail<InvalidArgument>("[model] there is no output '{}'.{} There are: {}", name, nearest_hint(name, names),
                          fmt::join(names, ", "));
  }
  if (name == kLogits) return false;
  rename(graph.train_outputs, name);
  rename(graph.eval_outputs, name);
  return true;
}

}  // namespace limbeck::passes
