// lb.fit: the trainer on a Model of Python's, with a loss, hooks and datasets of Python's.
#include <ATen/core/grad_mode.h>
#include <fmt/ranges.h>
#include <torch/csrc/autograd/python_variable.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "limbeck/core/error.h"
#include "limbeck/core/hash.h"
#include "limbeck/data/fingerprint.h"
#include "limbeck/data/transforms/options.h"
#include "limbeck/distill/distiller.h"
#include "limbeck/graph/text/text.h"
#include "limbeck/measure/evaluate.h"
#include "limbeck/model/device.h"
#include "limbeck/recipe/read.h"
#include "limbeck/train/loop/final_activation.h"
#include "python/src/bindings.h"
#include "python/src/data/loader.h"
#include "python/src/hooks.h"
#include "python/src/keywords.h"

namespace limbeck::python {

namespace {

namespace fs = std::filesystem;
using core::Json;

constexpr const char* kCheckpointFolder = "checkpoint";  // within a run's folder

/// What a call of lb.fit hands over.
struct Fit {
  Model model;
  std::shared_ptr<UnlockedLoader> train_loader;
  Keywords options;
  std::shared_ptr<UnlockedLoader> val_loader{};  // null: nothing is held out
  std::optional<Model> teacher{};
  std::shared_ptr<HeldObject> loss{};  // (logits, targets) -> scalar; null: cross-entropy
  py::object hooks = py::none();       // see PythonHooks
  uint64_t seed = 0;
  std::string folder{};       // for checkpoints and metrics; empty: none
  std::string resume_from{};  // an earlier run's folder; empty: none
  double checkpoint_seconds = 30;
  int64_t checkpoint_steps = 0;
  std::string run{};  // what else tells this run from others: the loss's name
};

/// Everything that the run needs, made from a Fit.
struct Setup {
  recipe::DistillStage stage;  // without a teacher its `distill` is not used
  train::Objective objective;
  std::vector<distill::BoundTerm> terms;
};

recipe::DistillStage read_options(const Fit& fit) {
  recipe::DistillStage stage;
  if (fit.teacher) {
    read_keywords("fit", fit.options, [&](recipe::Fields& fields) { describe_training(fields, stage); });
  } else {
    recipe::TrainStage plain;
    read_keywords("fit", fit.options, [&](recipe::Fields& fields) { describe_training(fields, plain); });
    stage.train = plain.train;
    stage.freeze = plain.freeze;
    stage.log = plain.log;
    stage.memory_format = plain.memory_format;
  }
  stage.train.seed = stage.distill.seed = fit.seed;
  stage.train.validate();
  stage.distill.validate();
  return stage;
}

Json effective_options(recipe::DistillStage stage) {
  stage.log = {};
  return recipe::effective_options([&](recipe::Fields& fields) { describe_training(fields, stage); });
}

Json describe_loader(const data::Loader& loader) {
  const data::LoaderOptions& options = loader.options();
  Json::Array transforms;
  for (const data::Transform& transform : options.transforms) transforms.push_back(data::to_json(transform));
  return Json::object({{"data", data::fingerprint(loader.dataset())},
                       {"batch_size", options.batch_size},
                       {"shuffle", options.shuffle},
                       {"drop_last", options.drop_last},
                       {"seed", options.seed},
                       {"mixes", options.batch_transforms.size()},
                       {"transforms", Json(std::move(transforms))}});
}

/// Of all that makes one run another than the next: its checkpoints are then none of this one's.
std::string hash_of(const Fit& fit, const recipe::DistillStage& stage) {
  Json json = Json::object({{"options", effective_options(stage)},
                            {"seed", fit.seed},
                            {"train", describe_loader(fit.train_loader->get())},
                            {"model", core::sha256_hex(graph::print(fit.model.graph()))},
                            {"has_teacher", fit.teacher.has_value()},
                            {"run", fit.run}});
  // Only where it is given, so that other runs go on from folders of earlier versions; however it is spelled.
  if (!fit.resume_from.empty()) json["resume_from"] = fs::weakly_canonical(fit.resume_from).string();
  return core::sha256_hex(json.dump());
}

void check_fits_data(const Fit& fit) {
  const at::NoGradGuard no_grad;
  const data::Dataset& dataset = fit.train_loader->get().dataset();
  const at::Tensor images = fit.train_loader->first_images(1).to(device_of(fit.model));
  const at::Tensor logits =
      fit.model.with_own_modes().forward(images, {.state_updates = StateUpdates::discard}).logits();
  LIMBECK_CHECK(logits.dim() == 2 && logits.size(1) == dataset.num_classes(),
                "[fit] the model gives [{}] for one image and {} has {} classes: replace its head, "
                "model.replace_head(SCOPE, classes={}), or say classes= of the dataset",
                fmt::join(logits.sizes(), ", "), dataset.name(), dataset.num_classes(), dataset.num_classes());
}

/// A loss of Python's on the model's logits, with labels [B], or [B, classes] where they are soft.
train::Objective python_objective(const Model& model, std::shared_ptr<HeldObject> loss, Fusion fusion) {
  return [model = model, loss = std::move(loss), fusion](const data::Batch& batch,
                                                         const train::Progress&) mutable -> train::StepResult {
    const at::Tensor logits = model.forward(batch.x, {.fusion = fusion}).logits();
    const py::gil_scoped_acquire locked;
    const py::object value = loss->get()(logits, batch.targets.defined() ? batch.targets : batch.y);
    LIMBECK_CHECK(THPVariable_Check(value.ptr()), "[fit] loss(logits, targets) must return a tensor, got {}",
                  py::str(py::type::of(value).attr("__name__")).cast<std::string>());
    auto result = value.cast<at::Tensor>();
    LIMBECK_CHECK(result.numel() == 1 && result.requires_grad(),
                  "[fit] loss(logits, targets) must return one number with a gradient, got [{}]{}",
                  fmt::join(result.sizes(), ", "), result.requires_grad() ? "" : " without one");
    return {.loss = result.reshape({}), .logits = logits};
  };
}

train::Objective distillation(const Fit& fit, Setup& setup) {
  LIMBECK_CHECK(fit.loss == nullptr, "[fit] give either a loss or a teacher, whose loss is distillation's");
  const at::Tensor images = fit.train_loader->first_images(2).to(device_of(fit.model));
  setup.terms = distill::bind_terms(fit.model, *fit.teacher, images, setup.stage.distill);
  std::shared_ptr<distill::Teacher> teacher =
      distill::live_teacher(*fit.teacher, distill::teacher_taps(setup.terms), distill::teacher_transform(setup.terms));
  distill::KdOptions kd = setup.stage.distill.kd;
  kd.label_smoothing = setup.stage.train.label_smoothing;
  train::warn_of_final_activation(fit.model.graph());
  return distill::distillation_objective(fit.model, std::move(teacher), setup.terms, kd, setup.stage.train.fusion);
}

void freeze(Model& model, const std::vector<std::string>& patterns) {
  for (const std::string& pattern : patterns) model.freeze(pattern);
  const std::vector<at::Tensor> parameters = model.parameters();
  LIMBECK_CHECK(
      std::any_of(parameters.begin(), parameters.end(), [](const at::Tensor& p) { return p.requires_grad(); }),
      "[fit] nothing is left to train: no parameter of the model requires a gradient");
}

Setup set_up(Fit& fit) {
  Setup setup{.stage = read_options(fit), .objective = {}, .terms = {}};
  const train::TrainOptions& options = setup.stage.train;
  const bool is_channels_last = setup.stage.memory_format == recipe::MemoryLayout::channels_last;
  fit.model.to(is_channels_last ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous);
  check_fits_data(fit);
  freeze(fit.model, setup.stage.freeze);
  if (fit.teacher) {
    setup.objective = distillation(fit, setup);
  } else if (fit.loss != nullptr) {
    LIMBECK_CHECK(options.label_smoothing == 0, "[fit] label_smoothing is of the cross-entropy: leave it to the loss");
    setup.objective = python_objective(fit.model, fit.loss, options.fusion);
  } else {
    setup.objective = train::classification_objective(fit.model, options.label_smoothing, options.fusion);
  }
  return setup;
}

std::function<std::optional<train::ValidationResult>(const Model&)> validation_of(const Fit& fit, PythonHooks& hooks) {
  if (fit.val_loader == nullptr) return {};
  const measure::EvaluateOptions options{.stop = hooks.stop(), .on_progress = [&](int64_t, int64_t) { hooks.poll(); }};
  return [loader = fit.val_loader, options](const Model& model) -> std::optional<train::ValidationResult> {
    loader->get().seek({});
    const auto result = measure::evaluate(model, loader->get(), options);
    if (!result) return std::nullopt;
    return train::ValidationResult{.accuracy = result->top1, .loss = result->nll};
  };
}

train::RunControl control_of(const Fit& fit, const Setup& setup, PythonHooks& hooks) {
  train::RunControl control{.checkpoint_seconds = fit.checkpoint_seconds,
                            .checkpoint_steps = fit.checkpoint_steps,
                            .stop = hooks.stop(),
                            .validate = validation_of(fit, hooks),
                            .on_progress = [&hooks](const train::ProgressEvent&) { hooks.poll(); },
                            .hooks = hooks.functions(),
                            .metrics = setup.stage.log};
  if (!fit.resume_from.empty()) control.resume_from = fs::path(fit.resume_from) / kCheckpointFolder;
  if (fit.folder.empty()) return control;
  const fs::path folder = fit.folder;
  fs::create_directories(folder);
  control.checkpoint_directory = folder / kCheckpointFolder;
  control.run_hash = hash_of(fit, setup.stage);
  control.metrics.folder = folder;
  return control;
}

/// What Python makes its result of. `model` is None where it is the one that was given.
py::dict result_of(const Fit& fit, const train::TrainSummary& summary, const train::TrainOptions& options) {
  py::list epochs;
  for (const train::EpochSummary& epoch : summary.progress.epochs) epochs.append(as_dict(epoch));
  py::dict fields;
  fields["completed"] = summary.completed;
  fields["steps"] = summary.progress.step;
  fields["resumed_at_step"] = summary.resumed_at_step;
  fields["epochs"] = epochs;
  fields["is_early_stop"] = summary.is_early_stop;
  fields["best_epoch"] = summary.best ? py::cast(static_cast<int64_t>(*summary.best)) : py::none();
  fields["skipped_samples"] = fit.train_loader->get().num_skipped();
  const bool is_given =
      !summary.best_model && (!summary.averaged_model || options.ema.use != train::AverageUse::instead);
  fields["model"] = is_given ? py::none() : py::cast(train::result_of(fit.model, summary, options));
  fields["averaged_model"] = summary.averaged_model ? py::cast(*summary.averaged_model) : py::none();
  return fields;
}

py::dict run(Fit& fit) {
  PythonHooks hooks(fit.hooks);
  std::optional<Setup> setup;
  train::TrainSummary summary;
  {
    const py::gil_scoped_release unlocked;
    setup = set_up(fit);
    summary = train::train(fit.model, distill::adapters_of(setup->terms), setup->objective, fit.train_loader->get(),
                           setup->stage.train, control_of(fit, *setup, hooks));
  }
  hooks.raise_pending();
  return result_of(fit, summary, setup->stage.train);
}

/// The schema of what lb.fit takes beside its own arguments, as JSON text.
std::string fit_schema(bool has_teacher) {
  recipe::TrainStage plain;
  recipe::DistillStage distilled;
  return recipe::options_schema([&](recipe::Fields& fields) {
           has_teacher ? describe_training(fields, distilled) : describe_training(fields, plain);
         })
      .dump();
}

}  // namespace

void bind_fit(py::module_& module) {
  py::class_<Fit>(module, "Fit")
      .def(py::init([](const Model& model, std::shared_ptr<UnlockedLoader> loader, Keywords options) {
             return Fit{.model = model, .train_loader = std::move(loader), .options = std::move(options)};
           }),
           py::arg("model"), py::arg("loader"), py::arg("options"))
      .def_readwrite("val_loader", &Fit::val_loader)
      .def_readwrite("teacher", &Fit::teacher)
      .def("set_loss", [](Fit& fit, py::object loss) { fit.loss = std::make_shared<HeldObject>(std::move(loss)); })
      .def_readwrite("hooks", &Fit::hooks)
      .def_readwrite("seed", &Fit::seed)
      .def_readwrite("folder", &Fit::folder)
      .def_readwrite("resume_from", &Fit::resume_from)
      .def_readwrite("checkpoint_seconds", &Fit::checkpoint_seconds)
      .def_readwrite("checkpoint_steps", &Fit::checkpoint_steps)
      .def_readwrite("run", &Fit::run)
      .def("__call__", &run);
  module.def("fit_schema", &fit_schema, py::arg("has_teacher"));
}

}  // namespace limbeck::python
