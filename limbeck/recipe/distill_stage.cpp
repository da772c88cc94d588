#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "limbeck/core/error.h"
#include "limbeck/core/format.h"
#include "limbeck/core/hash.h"
#include "limbeck/load/random_weights.h"
#include "limbeck/recipe/stage.h"
#include "limbeck/train/loop/accumulation.h"
#include "limbeck/train/loop/final_activation.h"

namespace limbeck::recipe {

using core::Json;

namespace {

/// A cache larger than this costs more to write and read than a live teacher.
constexpr int64_t kMaxCacheBytes = int64_t{2} << 30;

/// How a stage will get its teacher's outputs, and why.
struct TeacherChoice {
  bool is_cached = false;
  std::string reason;
};

/// What `automatic` means: cached where nothing is augmented, the training shows each sample more than once, and the
/// outputs of all samples fit.
TeacherChoice resolve_teacher(TeacherSource requested, bool is_augmented, int64_t cache_bytes, int64_t epochs) {
  const std::string size = core::format_bytes(static_cast<uint64_t>(cache_bytes));
  if (requested == TeacherSource::live) return {.is_cached = false, .reason = "live, as asked for"};
  if (requested == TeacherSource::cached) {
    LIMBECK_CHECK(!is_augmented,
                  "[distill] teacher_outputs: cached needs inputs that do not change, but the data is augmented");
    return {.is_cached = true, .reason = "cached, as asked for (" + size + ")"};
  }
  if (is_augmented) return {.is_cached = false, .reason = "live, since the data is augmented"};
  if (epochs < 2) return {.is_cached = false, .reason = "live, since each sample is shown once"};
  if (cache_bytes > kMaxCacheBytes) return {.is_cached = false, .reason = "live, since its outputs would take " + size};
  return {.is_cached = true, .reason = "computed once (" + size + "), since nothing is augmented"};
}

/// Both models and what ties them.
struct Setup {
  Model student, teacher;
  std::vector<distill::BoundTerm> terms;
  TeacherChoice choice;
};

TeacherChoice choose_teacher(const DistillStage& stage, const StageContext& context, const Model& teacher,
                             const std::vector<distill::BoundTerm>& terms) {
  const auto live = distill::live_teacher(teacher, distill::teacher_taps(terms), distill::teacher_transform(terms));
  data::Batch one;
  one.x = context.test_images(1, stage.memory_format);
  const int64_t bytes = distill::cache_bytes((*live)(one), context.data().train_set()->size());
  const bool varies = distill::has_random(context.data().train_transforms()) || context.data().mixes_samples();
  return resolve_teacher(stage.teacher_outputs, varies, bytes, stage.train.epochs);
}

/// Both models get the same batches.
void tell_normalization(const Model& teacher, const std::string& name, const StageContext& context) {
  const std::optional<data::Normalize> own = other_normalization(teacher, context);
  if (!own) return;
  const data::Normalize& given = context.data().normalization();
  context.note(
      fmt::format("{} was trained with mean {} and stddev {}, here both models get images with {} and {}: give "
                  "the data the teacher's to change it",
                  name, own->mean, own->stddev, given.mean, given.stddev));
}

Setup set_up(const DistillStage& stage, const StageContext& context, Model student, Model teacher) {
  tell_normalization(teacher, stage.teacher, context);
  fit_to_data(student, {stage.student, stage.logits, stage.memory_format}, context);
  fit_to_data(teacher, {stage.teacher, stage.teacher_logits, stage.memory_format}, context);
  const at::Tensor samples = context.test_images(2, stage.memory_format);
  std::vector<distill::BoundTerm> terms = distill::bind_terms(student, teacher, samples, stage.distill);
  TeacherChoice choice = choose_teacher(stage, context, teacher, terms);
  freeze(student, stage.freeze, context);
  return {.student = std::move(student),
          .teacher = std::move(teacher),
          .terms = std::move(terms),
          .choice = std::move(choice)};
}

/// Null when stopped.
std::shared_ptr<distill::Teacher> make_teacher(const Setup& setup, const StageContext& context, const std::string& name,
                                               const std::string& key) {
  const std::vector<std::string> taps = distill::teacher_taps(setup.terms);
  const distill::FeatureTransform transform = distill::teacher_transform(setup.terms);
  if (!setup.choice.is_cached) return distill::live_teacher(setup.teacher, taps, transform);
  const auto& on_counting = context.control().events.on_counting;
  distill::CacheOptions options{
      .path = context.workspace().teacher_outputs_file(name), .key = key, .stop = context.control().stop};
  if (on_counting) {
    options.on_progress = [&](int64_t done, int64_t all) { on_counting(context.title, "teacher outputs", done, all); };
  }
  return distill::cached_teacher(setup.teacher, taps, transform, context.data().train_set(),
                                 context.data().train_transforms(), options);
}

Json adapters_json(const std::vector<distill::BoundTerm>& terms) {
  Json::Array adapters;
  for (const distill::BoundTerm& term : terms) {
    adapters.push_back(Json::object({{"student", term.term.student_tap},
                                     {"teacher", term.term.teacher_tap},
                                     {"student_shape", Json::array(term.plan.student)},
                                     {"teacher_shape", Json::array(term.plan.teacher)},
                                     {"adapter", term.plan.to_string()}}));
  }
  return Json(std::move(adapters));
}

/// Hash of all parameters and buffers: a teacher must keep it.
std::string tensors_hash(const Model& model) {
  core::Sha256 hash;
  for (const graph::Parameter& parameter : model.graph().parameters()) {
    const at::Tensor tensor = parameter.tensor.detach().contiguous();
    hash.update(parameter.name);
    hash.update(std::span(static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()));
  }
  return hash.finish_hex();
}

void tell_setup(const Setup& setup, const StageContext& context) {
  context.note("teacher outputs: " + setup.choice.reason);
  for (const distill::BoundTerm& term : setup.terms) {
    context.note(fmt::format("feature {} <- {}: adapter {}", term.term.student_tap, term.term.teacher_tap,
                             term.plan.to_string()));
  }
}

/// What makes the result worth less than it seems.
std::vector<std::string> notes_on(const DistillStage& stage, const StageContext& context) {
  if (!context.has_random_weights(stage.teacher)) return {};
  return {fmt::format("the teacher {} teaches noise: {}", stage.teacher, kRandomWeightsNote)};
}

}  // namespace

std::optional<Json> run_stage(const DistillStage& stage, StageContext& context, const std::string& key) {
  const std::string name = stage_name(stage);
  Setup setup = set_up(stage, context, context.load(stage.student), context.load(stage.teacher));
  train::warn_of_final_activation(setup.student.graph());
  tell_setup(setup, context);
  const std::vector<std::string> notes = notes_on(stage, context);
  for (const std::string& note : notes) context.note(note);
  const std::string teacher_hash = tensors_hash(setup.teacher);
  data::Loader loader = context.data().train_loader(stage.memory_format);
  tell_left_out(loader, context);
  tell_no_average(stage.train.ema, context);
  const train::RunControl control = training_control(context, {name, key, stage.memory_format, stage.log});
  train::check_training(setup.student, distill::adapters_of(setup.terms), stage.train, control);
  context.workspace().begin_stage(name, key);
  const std::shared_ptr<distill::Teacher> teacher = make_teacher(setup, context, name, key);
  if (teacher == nullptr) return std::nullopt;
  distill::KdOptions kd = stage.distill.kd;
  kd.label_smoothing = stage.train.label_smoothing;
  const train::TrainSummary summary =
      train::train(setup.student, distill::adapters_of(setup.terms),
                   distill::distillation_objective(setup.student, teacher, setup.terms, kd, stage.train.fusion), loader,
                   stage.train, control);
  LIMBECK_ASSERT(tensors_hash(setup.teacher) == teacher_hash,
                 "[distill] the teacher changed while the student was trained");
  if (!summary.completed) return std::nullopt;
  tell_end(summary, stage.train, loader, context);
  save_results(setup.student, summary, stage.train, context.workspace().model_file(name));
  Json result = to_json(summary, loader);
  result["teacher_outputs"] = setup.choice.reason;
  result["features"] = adapters_json(setup.terms);
  result["notes"] = Json::array(notes);
  return result;
}

Json plan_stage(const DistillStage& stage, const StageContext& context) {
  const Setup setup =
      set_up(stage, context, context.load_untrained(stage.student), context.load_untrained(stage.teacher));
  train::check_training(setup.student, distill::adapters_of(setup.terms), stage.train,
                        training_control(context, {stage_name(stage), {}, stage.memory_format, stage.log}));
  const data::Loader loader = context.data().train_loader(stage.memory_format);
  const int64_t steps = train::steps_per_epoch(loader, stage.train.accumulate) * stage.train.epochs;
  return Json::object({{"student", describe_model(setup.student, context)},
                       {"teacher", describe_model(setup.teacher, context)},
                       {"teacher_outputs", setup.choice.reason},
                       {"features", adapters_json(setup.terms)},
                       {"steps", steps}});
}

}  // namespace limbeck::recipe
