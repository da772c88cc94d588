#include "cli/recipe_run.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <optional>

#include "cli/commands.h"
#include "cli/console.h"
#include "limbeck/core/format.h"
#include "limbeck/recipe/workspace.h"

namespace limbeck::cli {

using core::Json;
using core::JsonView;

namespace {

std::string shape_text(const JsonView& shape) {
  std::string text = "[B";
  for (const JsonView& size : shape.elements()) text += fmt::format(", {}", size.as_int());
  return text + "]";
}

std::string model_text(const char* role, const JsonView& model) {
  return fmt::format("    {}: {} -> {}, {} parameters, {} MACs\n", role, shape_text(model["input"]),
                     shape_text(model["logits"]), core::format_thousands(model["parameters"].as_int()),
                     core::format_si(static_cast<double>(model["macs"].as_int())));
}

std::string stage_text(const JsonView& stage) {
  std::string text = fmt::format("  {} ({}){}\n", stage["name"].as_string(), stage["kind"].as_string(),
                                 stage["cached"].as_bool() ? ": from its cache" : "");
  for (const char* role : {"model", "student", "teacher"}) {
    if (const auto model = stage.get(role)) text += model_text(role, *model);
  }
  if (const auto steps = stage.get("steps"))
    text += fmt::format("    {} steps\n", core::format_thousands(steps->as_int()));
  if (const auto outputs = stage.get("teacher_outputs")) text += "    teacher outputs: " + outputs->as_string() + "\n";
  const auto features = stage.get("features");
  if (!features) return text;
  for (const JsonView& feature : features->elements()) {
    text += fmt::format("    feature {} <- {}: adapter {}\n", feature["student"].as_string(),
                        feature["teacher"].as_string(), feature["adapter"].as_string());
  }
  return text;
}

/// "  training images: random_crop, normalize"
std::string transforms_text(const char* images, const JsonView& transforms) {
  std::vector<std::string> names;
  for (const JsonView& transform : transforms.elements()) names.emplace_back(transform.members().front().first);
  return fmt::format("  {} images: {}\n", images, fmt::join(names, ", "));
}

/// Where the report and every trained model lie.
std::string results_text(const recipe::Recipe& recipe) {
  const recipe::Workspace workspace(recipe.output, recipe::WorkspaceUse::read);
  std::string text = fmt::format("Results: {}\n", recipe.output);
  for (const recipe::Stage& stage : recipe.stages) {
    const std::filesystem::path file = workspace.model_file(recipe::stage_name(stage));
    if (std::filesystem::exists(file)) text += fmt::format("  {}\n", file.string());
  }
  return text;
}

}  // namespace

namespace {

/// Nothing when stopped.
struct Shown {
  core::Json report;
  std::string text;
};

std::optional<Shown> run_once(const recipe::Recipe& recipe, const recipe::RunControl& control) {
  recipe::RunResult result = recipe::run(recipe, control);
  if (!result.completed) return std::nullopt;
  return Shown{.report = std::move(result.report),
               .text = result.comparison ? report::to_text(*result.comparison, terminal_width()) : std::string()};
}

std::optional<Shown> run_all(const recipe::TrialPlan& plan, const recipe::RunControl& control) {
  recipe::TrialsResult result = recipe::run_trials(plan, control);
  if (!result.completed) return std::nullopt;
  return Shown{.report = std::move(result.report), .text = report::to_text(result.table, terminal_width())};
}

std::string results_text(const recipe::TrialPlan& plan) {
  if (plan.trials.empty()) return results_text(plan.recipe);
  return fmt::format("Results: {}\n  one folder for each run, and report.md\n", plan.recipe.output);
}

}  // namespace

int run_and_show(const recipe::TrialPlan& plan, const RunOptions& options, const OutputOptions& output) {
  std::optional<Shown> shown;
  {
    Console console(output);
    const recipe::RunControl control{
        .stop = stop_on_signals(), .checkpoint_seconds = options.checkpoint_seconds, .events = console.events()};
    shown = plan.trials.empty() ? run_once(plan.recipe, control) : run_all(plan, control);
  }
  if (!shown) {
    fmt::print(stderr, "limbeck: interrupted after saving. The same command goes on from here.\n");
    return kInterrupted;
  }
  if (output.json) {
    print(shown->report);
  } else {
    print(shown->text);
    if (options.keeps_results) print(results_text(plan));
  }
  return kDone;
}

int show_plan(const recipe::TrialPlan& plan, const OutputOptions& output) {
  const recipe::Recipe& recipe = plan.trials.empty() ? plan.recipe : plan.trials.front().recipe;
  Json json = recipe::plan(recipe);
  if (!plan.trials.empty()) {
    Json::Array names;
    for (const recipe::Trial& trial : plan.trials) names.emplace_back(trial.name);
    json["runs"] = Json(std::move(names));
  }
  if (output.json) {
    print(json);
    return kDone;
  }
  std::string text = recipe.name + ": what a run would do\n";
  const JsonView data = JsonView(json, "plan")["data"];
  text += transforms_text("training", data["train_transforms"]) + transforms_text("test", data["test_transforms"]);
  for (const JsonView& stage : JsonView(json, "plan")["stages"].elements()) text += stage_text(stage);
  if (!plan.trials.empty()) {
    text += fmt::format("{} runs, of which the above is the first:\n", plan.trials.size());
    for (const recipe::Trial& trial : plan.trials) text += "  " + trial.name + "\n";
  }
  print(text);
  return kDone;
}

}  // namespace limbeck::cli
