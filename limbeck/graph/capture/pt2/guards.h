// Guards: what torch.export assumed about input sizes, as Python text such as "L['x'].size()[0] % 2 == 0".
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "limbeck/graph/graph.h"

namespace limbeck::capture {

/// The check that `guard` states about the graph's inputs; nullopt when it is not a comparison of sizes.
std::optional<graph::Check> parse_guard(std::string_view guard, const std::vector<graph::InputSpec>& inputs);

/// False when the check holds for all sizes of at least 1, so that nothing needs checking.
bool is_informative(const graph::Check& check);

}  // namespace limbeck::capture
