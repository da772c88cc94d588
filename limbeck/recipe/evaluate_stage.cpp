#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "limbeck/core/error.h"
#include "limbeck/core/file.h"
#include "limbeck/core/machine.h"
#include "limbeck/data/preprocessing.h"
#include "limbeck/measure/evaluate.h"
#include "limbeck/measure/latency.h"
#include "limbeck/measure/profile.h"
#include "limbeck/recipe/stage.h"
#include "limbeck/report/comparison.h"
#include "limbeck/train/determinism.h"

namespace limbeck::recipe {

using core::Json;

namespace {

std::optional<measure::AccuracyResult> accuracy_of(const Model& model, const std::string& name,
                                                   const EvaluateStage& stage, const StageContext& context,
                                                   const std::optional<data::Normalize>& normalize) {
  data::Loader loader = context.data().test_loader(stage.batch_size, stage.memory_format, normalize);
  measure::EvaluateOptions options{.stop = context.control().stop};
  const auto& on_counting = context.control().events.on_counting;
  if (on_counting) {
    options.on_progress = [&](int64_t done, int64_t all) {
      on_counting(context.title, "evaluating " + name, done, all);
    };
  }
  return measure::evaluate(model, loader, options);
}

/// What the model is tested with instead of the data's: its own mean and stddev, unless the recipe gives some.
std::optional<data::Normalize> own_normalization(const Model& model, const std::string& name,
                                                 const StageContext& context) {
  const std::optional<data::Normalize> own = other_normalization(model, context);
  if (!own) return std::nullopt;
  const bool is_given = !context.data().options().mean.empty();
  context.note(fmt::format("{} was trained with mean {} and stddev {}: {}", name, own->mean, own->stddev,
                           is_given ? "it is tested with those of the recipe" : "it is tested with them"));
  return is_given ? std::nullopt : own;
}

/// Bytes that the model takes as a file: of its .lmb where it has one, else of one written to measure it.
int64_t file_bytes(const Model& model, const std::string& name, const StageContext& context) {
  if (const auto file = context.file_of(name)) return static_cast<int64_t>(core::file_size(*file));
  const core::TemporaryDirectory folder(context.workspace().root());
  model.save((folder.path() / "model.lmb").string());
  return static_cast<int64_t>(core::file_size(folder.path() / "model.lmb"));
}

void measure_latencies(std::vector<Model>& models, const EvaluateStage& stage, const StageContext& context,
                       report::Comparison& comparison) {
  const at::NoGradGuard no_grad;
  const at::Tensor images = context.test_images(stage.latency_batch, stage.memory_format);
  LIMBECK_CHECK(images.size(0) == stage.latency_batch,
                "[evaluate] latency_batch is {} and the test set has {} samples: lower it, or raise test_limit",
                stage.latency_batch, images.size(0));
  std::vector<measure::Candidate> candidates;
  for (std::size_t i = 0; i < models.size(); ++i) {
    candidates.push_back({.name = comparison.rows[i].name,
                          .call = [&images, &model = models[i]] { model.forward(images); },
                          .items_per_call = stage.latency_batch});
  }
  const auto runs = static_cast<int>(stage.latency_runs);
  const std::vector<measure::LatencyResult> results = measure::measure_latency(
      candidates,
      {.warmup_calls = 20, .min_seconds = 0, .min_calls = runs, .max_calls = runs, .stop = context.control().stop});
  for (std::size_t i = 0; i < results.size(); ++i) comparison.rows[i].latency = results[i];
}

}  // namespace

const std::vector<std::string>& compared_models(const EvaluateStage& stage, const StageContext& context) {
  return stage.models.empty() ? context.results() : stage.models;
}

std::optional<Json> run_stage(const EvaluateStage& stage, StageContext& context, const std::string& key) {
  report::Comparison comparison{.dataset = context.data().test_set()->name(),
                                .latency_batch = stage.latency_batch,
                                .threads = at::get_num_threads(),
                                .environment = train::ArithmeticEnvironment::current().to_string(),
                                .machine = core::read_machine().cpu_model,
                                .rows = {}};
  std::vector<Model> models;
  for (const std::string& name : compared_models(stage, context)) {
    Model model = context.load(name);
    const std::optional<data::Normalize> normalize = own_normalization(model, name, context);
    fit_to_data(model, name, context, stage.memory_format);
    model.eval();
    const std::optional<measure::AccuracyResult> accuracy = accuracy_of(model, name, stage, context, normalize);
    if (!accuracy) return std::nullopt;
    const measure::Profile profile = measure::profile(model);
    comparison.rows.push_back({.name = name,
                               .accuracy = *accuracy,
                               .parameters = profile.parameters,
                               .macs = profile.macs,
                               .file_bytes = file_bytes(model, name, context),
                               .latency = std::nullopt});
    models.push_back(std::move(model));
  }
  if (stage.latency_runs > 0) measure_latencies(models, stage, context, comparison);
  if (core::is_stop_requested(context.control().stop)) return std::nullopt;
  context.workspace().begin_stage(stage.name, key);
  return Json::object({{"comparison", report::to_json(comparison)}});
}

Json plan_stage(const EvaluateStage& stage, const StageContext& context) {
  return Json::object(
      {{"models", Json::array(compared_models(stage, context))}, {"samples", context.data().test_set()->size()}});
}

}  // namespace limbeck::recipe
