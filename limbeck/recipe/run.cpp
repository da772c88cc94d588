#include "limbeck/recipe/run.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <chrono>
#include <filesystem>

#include "limbeck/core/files/file.h"
#include "limbeck/core/machine.h"
#include "limbeck/recipe/adopt_preprocessing.h"
#include "limbeck/recipe/read.h"
#include "limbeck/recipe/stage.h"
#include "limbeck/report/training.h"

namespace limbeck::recipe {

using core::Json;

namespace {

using Clock = std::chrono::steady_clock;

void set_threads(const Recipe& recipe) {
  at::set_num_threads(recipe.threads > 0 ? static_cast<int>(recipe.threads) : core::num_usable_cores());
}

StageTitle title_of(const Recipe& recipe, std::size_t index, const std::string& trial = {}) {
  return {.kind = stage_kind(recipe.stages[index]),
          .name = stage_name(recipe.stages[index]),
          .index = static_cast<int64_t>(index) + 1,
          .count = static_cast<int64_t>(recipe.stages.size()),
          .trial = trial};
}

/// The model that a stage trains; empty for stages that make none.
std::string trained_model(const Stage& stage) {
  if (const auto* train = std::get_if<TrainStage>(&stage)) return train->model;
  if (const auto* distill = std::get_if<DistillStage>(&stage)) return distill->student;
  return {};
}

void add_result(StageContext& context, const Stage& stage, const std::string& key) {
  const std::string model = trained_model(stage);
  if (!model.empty()) context.add_result(stage_name(stage), key, model);
}

/// What a workspace has of a stage. A stage that makes a model is finished only with the model's file.
std::optional<Json> find_finished(const Stage& stage, const Workspace& workspace, const std::string& key) {
  const std::string name = stage_name(stage);
  const bool is_whole = trained_model(stage).empty() || std::filesystem::is_regular_file(workspace.model_file(name));
  return is_whole ? workspace.find_result(name, key) : std::nullopt;
}

/// All that a stage may have saved: the result, and beside it last.lmb, ema.lmb or trained.lmb.
void copy_models(const std::filesystem::path& from, const std::filesystem::path& to) {
  for (const std::filesystem::directory_entry& entry : std::filesystem::directory_iterator(from)) {
    if (entry.path().extension() == ".lmb")
      std::filesystem::copy_file(entry.path(), to / entry.path().filename(),
                                 std::filesystem::copy_options::overwrite_existing);
  }
}

/// From this run's folder, else, copied, from one of `reuse`.
std::optional<Json> find_finished(const Stage& stage, const StageContext& context, const std::string& key) {
  if (auto own = find_finished(stage, context.workspace(), key)) return own;
  const std::string name = stage_name(stage);
  for (const std::string& folder : context.control().reuse) {
    const Workspace other(folder, WorkspaceUse::read);
    const std::optional<Json> result = find_finished(stage, other, key);
    if (!result) continue;
    context.workspace().begin_stage(name, key);
    copy_models(other.stage_folder(name), context.workspace().stage_folder(name));
    context.workspace().put_result(name, key, *result);
    return result;
  }
  return std::nullopt;
}

/// A stage's result from its cache, else by running it; nothing when stopped.
std::optional<Json> obtain(const Stage& stage, StageContext& context, const std::string& key) {
  const RunEvents& events = context.control().events;
  if (events.on_stage_begin) events.on_stage_begin(context.title);
  const Clock::time_point start = Clock::now();
  std::optional<Json> result = find_finished(stage, context, key);
  const bool from_cache = result.has_value();
  if (!from_cache) {
    result = std::visit([&](const auto& s) { return run_stage(s, context, key); }, stage);
    if (!result) return std::nullopt;
    (*result)["seconds"] = std::chrono::duration<double>(Clock::now() - start).count();
    context.workspace().put_result(stage_name(stage), key, *result);
  }
  // Only now, with the result in place, is there nothing left to go on from; after a kill in between, the next run does
  // it.
  context.workspace().end_stage(stage_name(stage));
  if (events.on_stage_end) {
    events.on_stage_end(context.title, from_cache, std::chrono::duration<double>(Clock::now() - start).count());
  }
  return result;
}

/// Throws what any stage would be refused for, before hours are spent on the first one. A stage that is alone says it
/// itself before it begins.
void check_stages(const Recipe& recipe, const StageContext& now) {
  if (recipe.stages.size() == 1) return;
  StageContext context = now.quiet_copy();
  for (std::size_t i = 0; i < recipe.stages.size(); ++i) {
    const Stage& stage = recipe.stages[i];
    context.title = title_of(recipe, i);
    const std::string key = stage_key(context, stage);
    if (!find_finished(stage, context.workspace(), key)) {
      std::visit([&](const auto& s) { plan_stage(s, context); }, stage);
    }
    add_result(context, stage, key);
  }
}

void write_reports(const Workspace& workspace, const Recipe& recipe, const RunResult& result) {
  core::write_file(workspace.root() / "report.json", result.report.dump(2) + "\n");
  std::string markdown = "# " + recipe.name + "\n\n";
  if (result.comparison) markdown += report::to_markdown(*result.comparison) + "\n";
  const core::JsonView stages = core::JsonView(result.report, "report")["stages"];
  for (const Stage& stage : recipe.stages) {
    const auto epochs = stages[stage_name(stage)].get("epochs");
    if (!epochs) continue;
    markdown +=
        fmt::format("## {} ({})\n\n{}\n", stage_name(stage), stage_kind(stage), report::training_to_markdown(*epochs));
    if (const auto skipped = stages[stage_name(stage)].get("skipped_samples"))
      markdown += fmt::format("Samples that could not be read and were left out: {}.\n\n", skipped->as_int());
    if (const auto notes = stages[stage_name(stage)].get("notes")) {
      for (const std::string& note : notes->as_strings()) markdown += fmt::format("Note: {}.\n\n", note);
    }
  }
  core::write_file(workspace.root() / "report.md", markdown);
}

}  // namespace

RunResult run(const Recipe& recipe, const RunControl& control) {
  set_threads(recipe);
  const Workspace workspace(recipe.output, WorkspaceUse::work);
  const AdoptedData adopted = adopt_preprocessing(recipe);
  const DataSource data(adopted.options, recipe.seed, data_use(recipe));
  StageContext context(recipe, control, workspace, data);
  check_stages(recipe, context);
  RunResult result;
  Json stages = Json::object();
  for (std::size_t i = 0; i < recipe.stages.size(); ++i) {
    const Stage& stage = recipe.stages[i];
    context.title = title_of(recipe, i, control.trial);
    if (i == 0 && !adopted.note.empty()) context.note(adopted.note);
    const std::string key = stage_key(context, stage);
    const std::optional<Json> done = obtain(stage, context, key);
    if (!done) return result;
    if (const Json* comparison = done->find("comparison")) {
      result.comparison = report::comparison_from_json(core::JsonView(*comparison, "comparison"));
    }
    stages[stage_name(stage)] = *done;
    add_result(context, stage, key);
  }
  result.completed = true;
  result.report = Json::object({{"recipe", effective_options(recipe)}, {"stages", std::move(stages)}});
  write_reports(workspace, recipe, result);
  return result;
}

Json plan(const Recipe& recipe) {
  set_threads(recipe);
  const RunControl control;
  const Workspace workspace(recipe.output, WorkspaceUse::read);
  const DataSource data(adopt_preprocessing(recipe).options, recipe.seed, data_use(recipe));
  StageContext context(recipe, control, workspace, data);
  Json::Array stages;
  for (std::size_t i = 0; i < recipe.stages.size(); ++i) {
    const Stage& stage = recipe.stages[i];
    context.title = title_of(recipe, i);
    const std::string key = stage_key(context, stage);
    Json json = std::visit([&](const auto& s) { return plan_stage(s, context); }, stage);
    json["kind"] = context.title.kind;
    json["name"] = context.title.name;
    json["cached"] = find_finished(stage, context.workspace(), key).has_value();
    stages.push_back(std::move(json));
    add_result(context, stage, key);
  }
  return Json::object({{"recipe", effective_options(recipe)},
                       {"data", Json::object({{"train_transforms", data.train_transforms_json()},
                                              {"test_transforms", data.test_transforms_json()}})},
                       {"stages", std::move(stages)}});
}

}  // namespace limbeck::recipe
