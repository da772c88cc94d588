#include "limbeck/recipe/stage.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "limbeck/core/error.h"
#include "limbeck/core/hash.h"
#include "limbeck/data/fingerprint.h"
#include "limbeck/data/preprocessing.h"
#include "limbeck/load/load.h"
#include "limbeck/measure/evaluate.h"
#include "limbeck/measure/profile.h"
#include "limbeck/model/inputs.h"
#include "limbeck/recipe/read.h"
#include "limbeck/zoo/zoo.h"

namespace limbeck::recipe {

using core::Json;

namespace {

/// Raised when a stage's meaning changes, so that results of older versions are not taken for its.
constexpr int kStageVersion = 1;

Json options_of(const Stage& stage) {
  Stage copy = stage;
  return effective_options([&](Fields& fields) { std::visit([&](auto& s) { describe(fields, s); }, copy); });
}

Json options_of(ModelOptions options) {
  return effective_options([&](Fields& fields) { describe(fields, options); });
}

/// Files that a model is made of count with their content, not their name.
std::string model_key(const ModelOptions& options, uint64_t seed) {
  Json json = options_of(options);
  json["seed"] = seed;
  for (const auto& [key, file] : {std::pair{"file", options.file}, std::pair{"weights", options.weights}}) {
    if (std::filesystem::is_regular_file(file)) json[key] = core::sha256_file(file);
  }
  return core::sha256_hex(json.dump());
}

std::vector<std::string> models_of(const Stage& stage, const StageContext& context) {
  if (const auto* train = std::get_if<TrainStage>(&stage)) return {train->model};
  if (const auto* distill = std::get_if<DistillStage>(&stage)) return {distill->student, distill->teacher};
  return compared_models(std::get<EvaluateStage>(stage), context);
}

/// The logits for one image of the data.
at::Tensor try_out(const Model& model, const std::string& name, const StageContext& context, MemoryLayout layout) {
  const at::NoGradGuard no_grad;
  const data::Dataset& dataset = *context.data().test_set();
  const data::ImageShape shape = context.data().image_shape();
  const std::optional<std::vector<int64_t>> taken = sample_sizes(model.graph());
  LIMBECK_CHECK(
      !taken || *taken == std::vector({shape.channels, shape.height, shape.width}),
      "[{}] model '{}' takes images [{}] and {} has {}. Build it with in_channels={} and image_size={}, export "
      "it with such images, or name another dataset.",
      context.title.kind, name, fmt::join(*taken, ", "), dataset.name(), data::to_string(shape), shape.channels,
      shape.height);
  try {
    const at::Tensor images = context.data().test_images(1, layout);
    return model.with_own_modes().forward(images, {.state_updates = StateUpdates::discard}).logits();
  } catch (const InvalidArgument& error) {
    fail<InvalidArgument>("[{}] model '{}' does not run on an image {} of {}: {}", context.title.kind, name,
                          data::to_string(shape), dataset.name(), error.what());
  }
}

void check_fits_data(const Model& model, const std::string& name, const StageContext& context, MemoryLayout layout) {
  const at::Tensor logits = try_out(model, name, context, layout);
  const data::Dataset& dataset = *context.data().test_set();
  LIMBECK_CHECK(logits.dim() == 2 && logits.size(1) == dataset.num_classes(),
                "[{}] model '{}' gives [{}] for one image and {} has {} classes. Build it with classes={}, replace its "
                "head, or name another dataset.",
                context.title.kind, name, fmt::join(logits.sizes(), ", "), dataset.name(), dataset.num_classes(),
                dataset.num_classes());
}

/// Accuracy on the held-out samples, as the trainer asks for it.
std::function<std::optional<double>()> validation_of(const Model& model, const StageContext& context,
                                                     MemoryLayout layout) {
  std::optional<data::Loader> loader = context.data().val_loader(layout);
  if (!loader) return {};
  return [model, loader = std::make_shared<data::Loader>(std::move(*loader)),
          stop = context.control().stop]() -> std::optional<double> {
    const auto result = measure::evaluate(model, *loader, {.stop = stop});
    return result ? std::optional(result->top1) : std::nullopt;
  };
}

}  // namespace

StageContext::StageContext(const Recipe& recipe, const RunControl& control, const Workspace& workspace,
                           const DataSource& data)
    : recipe_(recipe), control_(control), workspace_(workspace), data_(data) {
  for (const auto& [name, options] : recipe.models) {
    sources_[name] = {.key = model_key(options, recipe.seed), .base = name};
  }
  DataOptions options = data.options();
  options.path.clear();  // what lies there counts, not where it lies
  options.workers = 0;   // every number of them reads the same batches
  Json json = effective_options([&](Fields& fields) { describe(fields, options); });
  json["seed"] = recipe.seed;
  json["train"] = data::fingerprint(*data.train_set());
  json["test"] = data::fingerprint(*data.test_set());
  data_key_ = core::sha256_hex(json.dump());
}

const std::string& StageContext::key_of(const std::string& name) const { return sources_.at(name).key; }

Model StageContext::load(const std::string& name) const {
  if (!sources_.at(name).is_result) return load_untrained(name);
  Model model = limbeck::load(workspace_.model_file(name).string());
  model.accept_assumptions(options_of(name).accept);
  return model;
}

Model StageContext::load_untrained(const std::string& name) const { return make_model(options_of(name), recipe_.seed); }

const ModelOptions& StageContext::options_of(const std::string& name) const {
  const std::string& base = sources_.at(name).base;
  const auto found = std::find_if(recipe_.models.begin(), recipe_.models.end(),
                                  [&](const auto& model) { return model.first == base; });
  LIMBECK_ASSERT(found != recipe_.models.end(), "[run] no source for model '{}'", name);
  return found->second;
}

std::optional<std::filesystem::path> StageContext::file_of(const std::string& name) const {
  if (sources_.at(name).is_result) return workspace_.model_file(name);
  const ModelOptions& options = options_of(name);
  const bool is_itself = options.file.ends_with(".lmb") && options.weights.empty();
  return is_itself ? std::optional<std::filesystem::path>(options.file) : std::nullopt;
}

void StageContext::add_result(const std::string& name, const std::string& key, const std::string& made_from) {
  sources_[name] = {.key = key, .base = sources_.at(made_from).base, .is_result = true};
  results_.push_back(name);
}

void StageContext::note(const std::string& line) const {
  if (control_.events.on_note) control_.events.on_note(title, line);
}

std::string stage_key(const StageContext& context, const Stage& stage) {
  Json json = Json::object({{"version", kStageVersion},
                            {"kind", stage_kind(stage)},
                            {"options", options_of(stage)},
                            {"data", context.data_key()}});
  Json::Array models;
  for (const std::string& name : models_of(stage, context)) models.push_back(context.key_of(name));
  json["models"] = Json(std::move(models));
  return core::sha256_hex(json.dump());
}

Model make_model(const ModelOptions& options, uint64_t seed) {
  Model model = options.file.empty() ? Model(zoo::make(options.zoo, zoo::parse_options(options.options, seed)))
                                     : limbeck::load(options.file, {.seed = seed});
  if (!options.weights.empty()) load_weights(model, options.weights);
  model.accept_assumptions(options.accept);
  return model;
}

train::RunControl training_control(const StageContext& context, const std::string& stage, const std::string& key,
                                   const Model& model, MemoryLayout layout) {
  const RunControl& control = context.control();
  train::RunControl training{.checkpoint_directory = context.workspace().checkpoint_folder(stage),
                             .checkpoint_seconds = control.checkpoint_seconds,
                             .checkpoint_steps = control.checkpoint_steps,
                             .run_hash = key,
                             .stop = control.stop,
                             .validate = validation_of(model, context, layout)};
  training.on_resume = [&context](const train::Progress& progress) {
    context.note(
        fmt::format("goes on from its checkpoint: epoch {}, step {}", progress.next.epoch + 1, progress.next.step));
  };
  if (control.events.on_training) {
    training.on_progress = [&context](const train::ProgressEvent& event) {
      context.control().events.on_training(context.title, event);
    };
  }
  return training;
}

Json describe_model(const Model& model, const StageContext& context) {
  const at::NoGradGuard no_grad;
  const measure::Profile profile = measure::profile(model);
  const at::Tensor images = context.data().test_images(2, MemoryLayout::contiguous);
  const at::Tensor logits = model.with_own_modes().forward(images, {.state_updates = StateUpdates::discard}).logits();
  return Json::object({{"parameters", profile.parameters},
                       {"macs", profile.macs},
                       {"input", Json::array(images.sizes().slice(1))},
                       {"logits", Json::array(logits.sizes().slice(1))}});
}

Json to_json(const train::TrainSummary& summary) {
  Json::Array epochs;
  for (const train::EpochSummary& epoch : summary.progress.epochs) {
    Json json = Json::object({{"epoch", epoch.epoch + 1},
                              {"loss", epoch.loss},
                              {"train_accuracy", epoch.train_accuracy},
                              {"seconds", epoch.seconds}});
    if (epoch.val_accuracy) json["val_accuracy"] = *epoch.val_accuracy;
    epochs.push_back(std::move(json));
  }
  return Json::object({{"steps", summary.progress.step}, {"epochs", std::move(epochs)}});
}

std::optional<data::Normalize> other_normalization(const Model& model, const StageContext& context) {
  const auto found = model.graph().metadata.find(data::kPreprocessingKey);
  if (found == model.graph().metadata.end()) return std::nullopt;
  data::Normalize own = data::parse_preprocessing(found->second).normalize;
  const data::Normalize& given = context.data().normalization();
  if (own.mean == given.mean && own.stddev == given.stddev) return std::nullopt;
  return own;
}

void fit_to_data(Model& model, const std::string& name, const StageContext& context, MemoryLayout layout) {
  model.to(layout == MemoryLayout::channels_last ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous);
  graph::Graph graph = model.graph();
  graph.metadata[data::kPreprocessingKey] = context.data().preprocessing_json();
  graph.metadata[graph::kLabelsKey] = context.data().labels_json();
  model.set_graph(std::move(graph));
  check_fits_data(model, name, context, layout);
}

}  // namespace limbeck::recipe
