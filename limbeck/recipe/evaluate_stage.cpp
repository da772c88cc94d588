#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"
#include "limbeck/core/machine.h"
#include "limbeck/data/preprocessing.h"
#include "limbeck/load/random_weights.h"
#include "limbeck/measure/evaluate.h"
#include "limbeck/measure/latency.h"
#include "limbeck/measure/profile.h"
#include "limbeck/model/device.h"
#include "limbeck/recipe/class_match.h"
#include "limbeck/recipe/stage.h"
#include "limbeck/report/comparison.h"
#include "limbeck/train/determinism.h"

namespace limbeck::recipe {

using core::Json;

namespace {

/// A model under test, and what is done to the images that it sees.
struct Tested {
  std::string name;
  Model model;
  std::vector<data::Transform> transforms;  // the normalization last
  std::vector<int64_t> classes;             // the model's, one for each of the data's; empty: the same numbers
  std::vector<std::string> notes;           // for people, on how it was tested
};

std::optional<measure::AccuracyResult> accuracy_of(const Tested& tested, const EvaluateStage& stage,
                                                   const StageContext& context) {
  data::Loader loader = context.data().test_loader(stage.batch_size, stage.memory_format, tested.transforms);
  measure::EvaluateOptions options{.stop = context.control().stop, .on_progress = {}, .classes = tested.classes};
  const auto& on_counting = context.control().events.on_counting;
  if (on_counting) {
    options.on_progress = [&](int64_t done, int64_t all) {
      on_counting(context.title, "evaluating " + tested.name, done, all);
    };
    options.on_progress(0, loader.dataset().size());  // the first batch may take long
  }
  return measure::evaluate(tested.model, loader, options);
}

/// The steps that `own` has; the data's with its normalization where it says no more and their images are its.
std::vector<data::Transform> steps_of(const data::Preprocessing& own, const StageContext& context) {
  if (!own.transforms.empty() || context.data().image_shape() != own.shape) return own.steps();
  std::vector<data::Transform> steps = context.data().test_transforms();
  steps.back() = own.normalize;
  return steps;
}

/// What the model's file says must be done to its images, where that is not what the data's test transforms do.
std::optional<data::Preprocessing> other_preprocessing(const Model& model, const StageContext& context) {
  const auto found = model.graph().metadata.find(data::kPreprocessingKey);
  if (found == model.graph().metadata.end()) return std::nullopt;
  const data::Preprocessing own = data::parse_preprocessing(found->second);
  const data::Preprocessing given = data::parse_preprocessing(context.data().preprocessing_json());
  return data::to_json(own) == data::to_json(given) ? std::nullopt : std::optional(own);
}

bool says_how_to_test(const DataOptions& recipe) { return !recipe.mean.empty() || !recipe.test_transforms.empty(); }

void tell_preprocessing(const Model& model, const std::string& name, const StageContext& context) {
  const std::optional<data::Preprocessing> own = other_preprocessing(model, context);
  if (!own) return;
  context.note(
      fmt::format("{} was trained on images prepared by {}: {}", name, data::to_text(*own),
                  says_how_to_test(context.recipe().data) ? "it is tested as the recipe says" : "it is tested so"));
}

/// The place of one of several models: the output that the stage names is for those that have more than one.
ModelPlace place_of(const Model& model, const std::string& name, const EvaluateStage& stage) {
  const bool has_choice = model.graph().eval_outputs.size() > 1;
  return {.name = name, .logits = has_choice ? stage.logits : std::string(), .layout = stage.memory_format};
}

/// Each model is tested as its file says, unless the recipe says how for all of them.
std::vector<data::Transform> transforms_for(const Model& model, const StageContext& context) {
  const std::optional<data::Preprocessing> own = other_preprocessing(model, context);
  return !own || says_how_to_test(context.recipe().data) ? context.data().test_transforms() : steps_of(*own, context);
}

/// Makes the model fit, or throws why it cannot be tested on the data.
Tested fit(const std::string& name, Model model, const EvaluateStage& stage, const StageContext& context) {
  Tested tested{.name = name, .model = std::move(model), .transforms = {}, .classes = {}, .notes = {}};
  tested.transforms = transforms_for(tested.model, context);
  const ModelPlace place = place_of(tested.model, name, stage);
  const int64_t count = fit_to_test(tested.model, place, context, tested.transforms);
  ClassMatch match = match_classes(classes_of(tested.model.graph(), count), context.data().test_set()->class_names(),
                                   fmt::format("[{}] model '{}'", context.title.kind, name));
  tested.classes = std::move(match.classes);
  if (context.has_random_weights(name)) tested.notes.emplace_back(kRandomWeightsNote);
  if (!match.note.empty()) tested.notes.push_back(std::move(match.note));
  return tested;
}

Tested load_tested(const std::string& name, const EvaluateStage& stage, const StageContext& context) {
  Model model = context.load(name);
  tell_preprocessing(model, name, context);
  Tested tested = fit(name, std::move(model), stage, context);
  for (const std::string& note : tested.notes) context.note(fmt::format("{}: {}", name, note));
  tested.model.eval();
  return tested;
}

/// Bytes that the model takes as a file: of its .lmb where it has one, else of one written to measure it.
int64_t file_bytes(const Model& model, const std::string& name, const StageContext& context) {
  if (const auto file = context.file_of(name)) return static_cast<int64_t>(core::file_size(*file));
  const core::TemporaryDirectory folder(context.workspace().root());
  model.save((folder.path() / "model.lmb").string());
  return static_cast<int64_t>(core::file_size(folder.path() / "model.lmb"));
}

void check_latency_batch(const EvaluateStage& stage, const StageContext& context) {
  const int64_t samples = context.data().test_set()->size();
  LIMBECK_CHECK(stage.latency_runs == 0 || stage.latency_batch <= samples,
                "[evaluate] latency_batch is {} and the test set has {} samples: lower it, or raise test_limit",
                stage.latency_batch, samples);
}

void measure_latencies(std::vector<Tested>& models, const EvaluateStage& stage, const StageContext& context,
                       report::Comparison& comparison) {
  const at::NoGradGuard no_grad;
  std::vector<measure::Candidate> candidates;
  for (Tested& tested : models) {
    const at::Device device = device_of(tested.model);
    const at::Tensor images =
        context.test_images(stage.latency_batch, stage.memory_format, tested.transforms).to(device);
    const auto call = [images, device, &model = tested.model] {
      model.forward(images);
      wait_for(device);
    };
    candidates.push_back({.name = tested.name, .call = call, .items_per_call = stage.latency_batch});
  }
  const auto runs = static_cast<int>(stage.latency_runs);
  measure::LatencyOptions options{
      .warmup_calls = 20, .min_seconds = 0, .min_calls = runs, .max_calls = runs, .stop = context.control().stop};
  const auto& on_counting = context.control().events.on_counting;
  if (on_counting) {
    options.on_progress = [&](int64_t done, int64_t all) { on_counting(context.title, "timing calls", done, all); };
  }
  const std::vector<measure::LatencyResult> results = measure::measure_latency(candidates, options);
  for (std::size_t i = 0; i < results.size(); ++i) comparison.rows[i].latency = results[i];
}

}  // namespace

const std::vector<std::string>& compared_models(const EvaluateStage& stage, const StageContext& context) {
  return stage.models.empty() ? context.results() : stage.models;
}

std::optional<Json> run_stage(const EvaluateStage& stage, StageContext& context, const std::string& key) {
  check_latency_batch(stage, context);
  report::Comparison comparison{.dataset = context.data().test_set()->name(),
                                .latency_batch = stage.latency_batch,
                                .threads = at::get_num_threads(),
                                .environment = train::ArithmeticEnvironment::current().to_string(),
                                .machine = core::read_machine().cpu_model,
                                .rows = {}};
  std::vector<Tested> models;
  for (const std::string& name : compared_models(stage, context)) {
    Tested tested = load_tested(name, stage, context);
    const std::optional<measure::AccuracyResult> accuracy = accuracy_of(tested, stage, context);
    if (!accuracy) return std::nullopt;
    const measure::Profile profile = measure::profile(tested.model);
    comparison.rows.push_back({.name = name,
                               .accuracy = *accuracy,
                               .parameters = profile.parameters,
                               .macs = profile.macs,
                               .file_bytes = file_bytes(tested.model, name, context),
                               .latency = std::nullopt,
                               .notes = tested.notes});
    models.push_back(std::move(tested));
  }
  if (stage.latency_runs > 0) measure_latencies(models, stage, context, comparison);
  if (core::is_stop_requested(context.control().stop)) return std::nullopt;
  context.workspace().begin_stage(stage.name, key);
  return Json::object({{"comparison", report::to_json(comparison)}});
}

Json plan_stage(const EvaluateStage& stage, const StageContext& context) {
  check_latency_batch(stage, context);
  for (const std::string& name : compared_models(stage, context)) {
    fit(name, context.load_untrained(name), stage, context);
  }
  return Json::object(
      {{"models", Json::array(compared_models(stage, context))}, {"samples", context.data().test_set()->size()}});
}

}  // namespace limbeck::recipe
