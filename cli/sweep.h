// --sweep on the command line.
#pragma once

#include <string>
#include <vector>

namespace limbeck::cli {

/// The recipe's `sweep` from texts such as "optimizer.lr=0.1,0.05". Keys stand below `prefix`, unless they begin with
/// one of the recipe's own ("seed", "data.", "models."). Values are parted by commas outside of brackets and quotes.
/// Throws InvalidArgument for a text of another form.
std::string sweep_text(const std::vector<std::string>& sweeps, const std::string& prefix);

}  // namespace limbeck::cli
