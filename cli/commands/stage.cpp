// train, distill and evaluate: a recipe of one stage, written from the flags and run like any other.
#include <fmt/format.h>

#include <filesystem>
#include <optional>
#include <set>

#include "cli/commands.h"
#include "cli/recipe_run.h"
#include "cli/sweep.h"
#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"

namespace limbeck::cli {

namespace {

std::string quoted(const std::string& text) { return core::Json(text).dump(); }

/// Names of models within the recipe: roles, or, where several are compared, their files' names.
std::vector<std::string> model_names(const StageArguments& arguments) {
  if (arguments.kind == "train") return {"model"};
  if (arguments.kind == "distill") return {"student", "teacher"};
  std::vector<std::string> names;
  std::set<std::string> taken;
  for (const std::string& model : arguments.models) {
    std::string name = std::filesystem::path(model.substr(0, model.find('?'))).stem().string();
    if (name == "model") name = std::filesystem::path(model).parent_path().filename().string();
    const std::string base = name.empty() ? "model" : name;
    name = base;
    for (int i = 2; !taken.insert(name).second; ++i) name = fmt::format("{}-{}", base, i);
    names.push_back(name);
  }
  return names;
}

std::string stage_text(const StageArguments& arguments, const std::vector<std::string>& names) {
  if (arguments.kind == "train") return "{train: {model: model}}";
  if (arguments.kind == "distill") return "{distill: {student: student, teacher: teacher}}";
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : ", ") + quoted(name);
  return "{evaluate: {models: [" + list + "]}}";
}

std::string recipe_text(const StageArguments& arguments, const std::vector<std::string>& names,
                        const std::string& folder) {
  std::string text = fmt::format("name: {}\noutput: {}\ndata: {{dataset: {}}}\nmodels:\n", arguments.kind,
                                 quoted(folder), quoted(arguments.data));
  for (std::size_t i = 0; i < names.size(); ++i)
    text += fmt::format("  {}: {{file: {}, accept: {}}}\n", quoted(names[i]), quoted(arguments.models[i]),
                        arguments.accept);
  return text + "stages: [" + stage_text(arguments, names) + "]\n";
}

/// "student=teacher[:weight]" as a feature term.
std::string feature_text(const std::string& term) {
  const std::size_t equals = term.find('='), colon = term.rfind(':');
  LIMBECK_CHECK(equals != std::string::npos && equals > 0,
                "[distill] --feature '{}' is not of the form student=teacher[:weight]", term);
  const bool has_weight = colon != std::string::npos && colon > equals;
  const std::string teacher = term.substr(equals + 1, has_weight ? colon - equals - 1 : std::string::npos);
  std::string text = fmt::format("{{student: {}, teacher: {}", quoted(term.substr(0, equals)), quoted(teacher));
  if (has_weight) text += ", weight: " + term.substr(colon + 1);
  return text + "}";
}

recipe::Overrides overrides(const StageArguments& arguments) {
  recipe::Overrides result;
  const auto add = [&](const std::string& prefix, const Settings& settings, const std::string& flag_prefix) {
    for (const auto& [path, value] : settings) result.push_back({prefix + path, value, flag_prefix + path});
  };
  add("stages.0." + arguments.kind + ".", arguments.settings, "--");
  add("data.", arguments.data_settings, "--data.");
  add("models.", arguments.model_settings, "--");
  add("", arguments.recipe_settings, "--");
  if (!arguments.sweeps.empty()) {
    const std::string stage = "stages.0." + arguments.kind + ".";
    result.push_back({"sweep", sweep_text(arguments.sweeps, stage), "--sweep"});
  }
  if (arguments.features.empty()) return result;
  std::string features;
  for (const std::string& term : arguments.features) features += (features.empty() ? "" : ", ") + feature_text(term);
  result.push_back({"stages.0.distill.features", "[" + features + "]", "--feature"});
  return result;
}

}  // namespace

int run_command(const StageArguments& arguments) {
  if (arguments.folder.empty() && arguments.kind != "evaluate") {
    fmt::print(stderr, "limbeck: name the folder for results with -o\n");
    return kWrongUsage;
  }
  std::optional<core::TemporaryDirectory> temporary;  // evaluate leaves nothing behind unless asked to
  if (arguments.folder.empty()) temporary.emplace();
  RunOptions options = arguments.run;
  options.keeps_results = !temporary;
  const std::string folder = temporary ? temporary->path().string() : arguments.folder;
  recipe::TrialPlan plan;
  try {
    plan = recipe::parse_trials(recipe_text(arguments, model_names(arguments), folder), /*source=*/"",
                                overrides(arguments));
  } catch (const InvalidArgument& error) {
    fmt::print(stderr, "limbeck: {}\n", error.what());
    return kWrongUsage;
  }
  return run_and_show(plan, options, arguments.output);
}

}  // namespace limbeck::cli
