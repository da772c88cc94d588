#include "cli/sweep.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "limbeck/core/error.h"
#include "limbeck/core/json/json.h"

namespace limbeck::cli {

namespace {

constexpr std::array<std::string_view, 4> kRecipeKeys = {"data.", "models.", "seed", "stages."};

std::string full_key(const std::string& key, const std::string& prefix) {
  const bool is_recipes = std::any_of(kRecipeKeys.begin(), kRecipeKeys.end(), [&](std::string_view own) {
    return own.ends_with('.') ? key.starts_with(own) : key == own;
  });
  return is_recipes ? key : prefix + key;
}

}  // namespace

std::string sweep_text(const std::vector<std::string>& sweeps, const std::string& prefix) {
  std::vector<std::string> axes;
  for (const std::string& sweep : sweeps) {
    const std::size_t equals = sweep.find('=');
    LIMBECK_CHECK(equals != std::string::npos && equals > 0 && equals + 1 < sweep.size(),
                  "[sweep] --sweep '{}' is not of the form KEY=VALUE,VALUE,...", sweep);
    axes.push_back(fmt::format("{}: [{}]", core::Json(full_key(sweep.substr(0, equals), prefix)).dump(),
                               sweep.substr(equals + 1)));
  }
  return fmt::format("{{{}}}", fmt::join(axes, ", "));
}

}  // namespace limbeck::cli
