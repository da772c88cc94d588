#include "limbeck/recipe/stage.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "limbeck/core/error.h"
#include "limbeck/core/format.h"
#include "limbeck/core/hash.h"
#include "limbeck/data/fingerprint.h"
#include "limbeck/data/preprocessing.h"
#include "limbeck/data/stray_label.h"
#include "limbeck/graph/lmb.h"
#include "limbeck/graph/passes/final_activation.h"
#include "limbeck/graph/passes/name_logits.h"
#include "limbeck/load/load.h"
#include "limbeck/load/random_weights.h"
#include "limbeck/load/transfer.h"
#include "limbeck/measure/evaluate.h"
#include "limbeck/measure/profile.h"
#include "limbeck/model/device.h"
#include "limbeck/model/inputs.h"
#include "limbeck/recipe/read.h"
#include "limbeck/train/loop/freeze.h"
#include "limbeck/zoo/zoo.h"

namespace limbeck::recipe {

using core::Json;

namespace {

/// Raised when a stage's meaning changes, so that results of older versions are not taken for its.
constexpr int kStageVersion = 2;

/// Without what changes no result.
Json options_of(const Stage& stage) {
  Stage copy = stage;
  if (auto* train = std::get_if<TrainStage>(&copy)) train->log = {};
  if (auto* distill = std::get_if<DistillStage>(&copy)) distill->log = {};
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

/// Of several outputs, none of which is called logits: which is taken.
void tell_choice(const Outputs& outputs, const std::string& name, const StageContext& context) {
  std::string taken;
  std::vector<std::string> others;
  for (const NamedTensor& output : outputs.tensors) {
    if (&output.tensor == &outputs.logits()) {
      taken = output.name;
    } else {
      others.push_back(output.name);
    }
  }
  if (others.empty() || taken == "logits") return;
  context.note(fmt::format("{} has several outputs: '{}' is taken for its logits, not '{}'. Choose with logits: {}",
                           name, taken, fmt::join(others, "', '"), others.front()));
}

/// Sentences of tokens and pairs of images are data that no recipe has.
void check_takes_images(const graph::Graph& graph, const std::string& name, const StageContext& context) {
  constexpr const char* kAdvice =
      "Stages give a model images alone: write its loop in C++ or Python (limbeck::optimize, lb.optimize).";
  std::vector<std::string> inputs;
  for (const graph::InputSpec& input : graph.inputs) inputs.push_back(input.name);
  LIMBECK_CHECK(inputs.size() <= 1, "[{}] model '{}' has the inputs '{}', which must all be given. {}",
                context.title.kind, name, fmt::join(inputs, "', '"), kAdvice);
  const graph::TensorType* type = inputs.empty() ? nullptr : graph.inputs.front().type.tensor();
  LIMBECK_CHECK(type == nullptr || c10::isFloatingType(type->dtype),
                "[{}] model '{}' takes {} in its input '{}', no images. {}", context.title.kind, name,
                c10::toString(type->dtype), inputs.front(), kAdvice);
}

/// The logits for one image [1, C, H, W] of the data.
at::Tensor try_out(const Model& model, const std::string& name, const StageContext& context, const at::Tensor& image) {
  check_takes_images(model.graph(), name, context);
  const at::NoGradGuard no_grad;
  const data::Dataset& dataset = *context.data().test_set();
  const data::ImageShape shape{image.size(1), image.size(2), image.size(3)};
  const std::optional<std::vector<int64_t>> taken = sample_sizes(model.graph());
  LIMBECK_CHECK(
      !taken || *taken == std::vector({shape.channels, shape.height, shape.width}),
      "[{}] model '{}' takes images [{}] and {} has {}. Build it with in_channels={} and image_size={}, export "
      "it with such images, or name another dataset.",
      context.title.kind, name, fmt::join(*taken, ", "), dataset.name(), data::to_string(shape), shape.channels,
      shape.height);
  try {
    const Outputs outputs = model.with_own_modes().forward(image, {.state_updates = StateUpdates::discard});
    tell_choice(outputs, name, context);
    return outputs.logits();
  } catch (const InvalidArgument& error) {
    fail<InvalidArgument>("[{}] model '{}' does not run on an image {} of {}: {}", context.title.kind, name,
                          data::to_string(shape), dataset.name(), error.what());
  }
}

/// How many classes a model that is used with the data must tell apart.
enum class ClassCount : uint8_t { as_data, at_least_data };

/// Which sample has a label beyond `classes`, where one has: a stray label looks like a class of its own.
std::string stray_label_text(const StageContext& context, int64_t classes) {
  for (const data::Dataset* dataset : {context.data().train_set().get(), context.data().test_set().get()}) {
    if (dataset == nullptr) continue;
    if (const auto stray = data::find_stray_label(*dataset, classes))
      return fmt::format(" In {} {}.", dataset->name(), stray->to_string());
  }
  return {};
}

/// The number of classes that the model tells apart.
int64_t check_fits_data(const Model& model, const std::string& name, const StageContext& context,
                        const at::Tensor& image, ClassCount count) {
  const at::Tensor logits = try_out(model, name, context, image);
  const data::Dataset& dataset = *context.data().test_set();
  const int64_t wanted = dataset.num_classes(), given = logits.dim() == 2 ? logits.size(1) : 0;
  const bool fits = given == wanted || (given > wanted && count == ClassCount::at_least_data);
  if (!fits) {
    fail<InvalidArgument>(
        "[{}] model '{}' gives [{}] for one image and {} has {} classes.{} Build it with classes={}, replace its head, "
        "or name another dataset.",
        context.title.kind, name, fmt::join(logits.sizes(), ", "), dataset.name(), wanted,
        given > 0 && given < wanted ? stray_label_text(context, given) : std::string(), wanted);
  }
  return given;
}

at::MemoryFormat memory_format(MemoryLayout layout) {
  return layout == MemoryLayout::channels_last ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
}

void name_logits(graph::Graph& graph, const ModelPlace& place, const StageContext& context) {
  try {
    passes::name_logits(graph, place.logits);
  } catch (const InvalidArgument& error) {
    fail<InvalidArgument>("[{}] model '{}': {}", context.title.kind, place.name, error.what());
  }
}

/// Accuracy and loss on the held-out samples, as the trainer asks for them.
std::function<std::optional<train::ValidationResult>(const Model&)> validation_of(const StageContext& context,
                                                                                  MemoryLayout layout) {
  std::optional<data::Loader> loader = context.data().val_loader(layout);
  if (!loader) return {};
  return [loader = std::make_shared<data::Loader>(std::move(*loader)),
          stop = context.control().stop](const Model& model) -> std::optional<train::ValidationResult> {
    const auto result = measure::evaluate(model, *loader, {.stop = stop});
    if (!result) return std::nullopt;
    return train::ValidationResult{.accuracy = result->top1, .loss = result->nll};
  };
}

}  // namespace

StageContext::StageContext(const Recipe& recipe, const RunControl& control, const Workspace& workspace,
                           const DataSource& data)
    : recipe_(recipe), control_(control), workspace_(workspace), data_(data), device_(parse_device(recipe.device)) {
  for (const auto& [name, options] : recipe.models) {
    sources_[name] = {.key = model_key(options, recipe.seed), .base = name};
  }
  DataOptions options = data.options();
  options.path.clear();  // what lies there counts, not where it lies
  options.workers = 0;   // every number of them reads the same batches
  Json json = effective_options([&](Fields& fields) { describe(fields, options); });
  json["seed"] = recipe.seed;
  if (data.train_set() != nullptr) json["train"] = data::fingerprint(*data.train_set());
  json["test"] = data::fingerprint(*data.test_set());
  data_key_ = core::sha256_hex(json.dump());
}

const std::string& StageContext::key_of(const std::string& name) const { return sources_.at(name).key; }

Model StageContext::load(const std::string& name) const {
  if (!sources_.at(name).is_result) return load_untrained(name);
  Model model = limbeck::load(workspace_.model_file(name).string());
  model.accept_assumptions(options_of(name).accept);
  if (!device_.is_cpu()) model.to(device_);
  return model;
}

Model StageContext::load_untrained(const std::string& name) const {
  Model model = make_model(options_of(name), recipe_.seed, [&](const std::string& line) { note(name + ": " + line); });
  if (!device_.is_cpu()) model.to(device_);
  return model;
}

at::Tensor StageContext::test_images(int64_t count, MemoryLayout layout) const {
  return test_images(count, layout, data_.test_transforms());
}

at::Tensor StageContext::test_images(int64_t count, MemoryLayout layout,
                                     const std::vector<data::Transform>& transforms) const {
  return data_.test_images(count, layout, transforms).to(device_);
}

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

bool StageContext::has_random_weights(const std::string& name) const {
  if (sources_.at(name).is_result) return false;
  const ModelOptions& options = options_of(name);
  return options.weights.empty() && (options.file.empty() || limbeck::has_random_weights(options.file));
}

void StageContext::add_result(const std::string& name, const std::string& key, const std::string& made_from) {
  sources_[name] = {.key = key, .base = sources_.at(made_from).base, .is_result = true};
  results_.push_back(name);
}

StageContext StageContext::quiet_copy() const {
  StageContext copy = *this;
  copy.is_quiet_ = true;
  return copy;
}

void StageContext::note(const std::string& line) const {
  if (control_.events.on_note && !is_quiet_) control_.events.on_note(title, line);
}

std::string stage_key(const StageContext& context, const Stage& stage) {
  Json json = Json::object({{"version", kStageVersion},
                            {"kind", stage_kind(stage)},
                            {"options", options_of(stage)},
                            {"data", context.data_key()}});
  if (const auto* train = std::get_if<TrainStage>(&stage); train != nullptr && !train->resume_from.empty())
    json["resume_from"] = core::sha256_file(train->resume_from);
  Json::Array models;
  for (const std::string& name : models_of(stage, context)) models.push_back(context.key_of(name));
  json["models"] = Json(std::move(models));
  return core::sha256_hex(json.dump());
}

namespace {

std::string head_text(const HeadReplacement& head, HeadWeights weights) {
  const char* what = weights == HeadWeights::replaced ? "its old weights were left behind"
                     : weights == HeadWeights::kept   ? "with the file's weights, which have that shape"
                                                      : "the file has no weights of its shape";
  return fmt::format("new classifier {} for {} classes; {}", head.at, head.classes, what);
}

}  // namespace

Model make_model(const ModelOptions& options, uint64_t seed, const std::function<void(const std::string&)>& note) {
  const auto tell = [&](const std::string& line) {
    if (note) note(line);
  };
  Model model = options.file.empty() ? Model(zoo::make(options.zoo, zoo::parse_options(options.options, seed)))
                                     : limbeck::load(options.file, {.seed = seed});
  const HeadOptions head{.classes = options.replace_head.classes, .seed = seed};
  if (options.replace_head.at.empty()) {
    if (!options.weights.empty()) load_weights(model, options.weights);
  } else if (options.weights.empty()) {
    model.replace_head(options.replace_head.at, head);
  } else {
    tell(head_text(options.replace_head,
                   load_weights_and_replace_head(model, options.weights, options.replace_head.at, head)));
  }
  if (options.drop_softmax) {
    graph::Graph graph = model.graph();
    LIMBECK_CHECK(passes::drop_final_activation(graph),
                  "[model] drop_softmax: the model ends in no softmax, log_softmax or sigmoid. Leave it out.");
    model.set_graph(std::move(graph));
    tell("its final activation was dropped: it gives logits");
  }
  model.accept_assumptions(options.accept);
  return model;
}

void freeze(Model& model, const std::vector<std::string>& patterns, const StageContext& context) {
  if (patterns.empty()) return;
  for (const std::string& pattern : patterns) model.freeze(pattern);
  int64_t frozen = 0, all = 0;
  for (const at::Tensor& parameter : model.parameters()) {
    all += parameter.numel();
    frozen += parameter.requires_grad() ? 0 : parameter.numel();
  }
  LIMBECK_CHECK(frozen < all, "[freeze] {} leaves nothing to train", fmt::join(patterns, ", "));
  context.note(fmt::format("frozen: {} of {} parameters, and the statistics of {} BatchNorms",
                           core::format_thousands(frozen), core::format_thousands(all),
                           train::frozen_norms(model).size()));
}

namespace {

/// Frozen parameters belong to a stage, the device to a run: neither to the file.
void save_model(const Model& model, const std::filesystem::path& file) {
  Model saved = model.clone();
  saved.to(at::Device(at::kCPU));
  for (const at::Tensor& parameter : saved.parameters()) {
    if (parameter.is_floating_point()) parameter.set_requires_grad(true);
  }
  graph::save_lmb(saved.graph(), file);
}

}  // namespace

void save_results(const Model& trained, const train::TrainSummary& summary, const train::TrainOptions& options,
                  const std::filesystem::path& model_file) {
  save_model(train::result_of(trained, summary, options), model_file);
  const std::filesystem::path folder = model_file.parent_path();
  const bool is_averaged = summary.averaged_model && options.ema.use == train::AverageUse::instead;
  if (summary.best_model) save_model(is_averaged ? *summary.averaged_model : trained, folder / "last.lmb");
  if (!summary.averaged_model) return;
  save_model(is_averaged ? trained : *summary.averaged_model, folder / (is_averaged ? "trained.lmb" : "ema.lmb"));
}

void tell_end(const train::TrainSummary& summary, const train::TrainOptions& options, const data::Loader& loader,
              const StageContext& context) {
  if (loader.num_skipped() > 0)
    context.note(fmt::format("{} could not be read and {} left out",
                             loader.num_skipped() == 1 ? "one sample" : fmt::format("{} samples", loader.num_skipped()),
                             loader.num_skipped() == 1 ? "was" : "were"));
  if (summary.is_early_stop) {
    context.note(fmt::format(
        "ended after epoch {}: {} without improvement of {}", summary.progress.epochs.size(),
        options.early_stop.patience == 1 ? "an epoch" : fmt::format("{} epochs", options.early_stop.patience),
        train::metric_name(options.monitor)));
  }
  if (!summary.best) return;
  const train::EpochSummary& best = summary.progress.epochs[*summary.best];
  context.note(fmt::format("the result is of epoch {}, the best by {} ({:.4f})", best.epoch + 1,
                           train::metric_name(options.monitor), train::metric_of(best, options.monitor)));
}

train::RunControl training_control(const StageContext& context, const TrainingPlace& place) {
  const RunControl& control = context.control();
  train::RunControl training{.checkpoint_directory = context.workspace().checkpoint_folder(place.stage),
                             .checkpoint_seconds = control.checkpoint_seconds,
                             .checkpoint_steps = control.checkpoint_steps,
                             .run_hash = place.key,
                             .stop = control.stop,
                             .validate = validation_of(context, place.layout),
                             .hooks = control.hooks,
                             .metrics = place.log};
  training.metrics.folder = context.workspace().stage_folder(place.stage);
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
  const at::Tensor images = context.test_images(2, MemoryLayout::contiguous);
  const at::Tensor logits = model.with_own_modes().forward(images, {.state_updates = StateUpdates::discard}).logits();
  return Json::object({{"parameters", profile.parameters},
                       {"macs", profile.macs},
                       {"input", Json::array(images.sizes().slice(1))},
                       {"logits", Json::array(logits.sizes().slice(1))}});
}

Json to_json(const train::TrainSummary& summary, const data::Loader& loader) {
  Json::Array epochs;
  for (const train::EpochSummary& epoch : summary.progress.epochs) {
    Json json = train::to_json(epoch);
    json["epoch"] = epoch.epoch + 1;
    epochs.push_back(std::move(json));
  }
  Json json = Json::object({{"steps", summary.progress.step}, {"epochs", std::move(epochs)}});
  if (loader.options().on_error == data::OnError::skip) json["skipped_samples"] = loader.num_skipped();
  if (summary.is_early_stop) json["early_stop"] = true;
  if (summary.best) json["best_epoch"] = summary.progress.epochs[*summary.best].epoch + 1;
  return json;
}

std::optional<data::Normalize> other_normalization(const Model& model, const StageContext& context) {
  const auto found = model.graph().metadata.find(data::kPreprocessingKey);
  if (found == model.graph().metadata.end()) return std::nullopt;
  data::Normalize own = data::parse_preprocessing(found->second).normalize;
  const data::Normalize& given = context.data().normalization();
  if (own.mean == given.mean && own.stddev == given.stddev) return std::nullopt;
  return own;
}

void fit_to_data(Model& model, const ModelPlace& place, const StageContext& context) {
  model.to(memory_format(place.layout));
  graph::Graph graph = model.graph();
  if (!place.logits.empty()) name_logits(graph, place, context);
  graph.metadata[data::kPreprocessingKey] = context.data().preprocessing_json();
  graph.metadata[graph::kLabelsKey] = context.data().labels_json();
  model.set_graph(std::move(graph));
  check_fits_data(model, place.name, context, context.test_images(1, place.layout), ClassCount::as_data);
}

int64_t fit_to_test(Model& model, const ModelPlace& place, const StageContext& context,
                    const std::vector<data::Transform>& transforms) {
  model.to(memory_format(place.layout));
  if (!place.logits.empty()) {
    graph::Graph graph = model.graph();
    name_logits(graph, place, context);
    model.set_graph(std::move(graph));
  }
  const at::Tensor image = context.test_images(1, place.layout, transforms);
  return check_fits_data(model, place.name, context, image, ClassCount::at_least_data);
}

void tell_no_average(const train::AverageOptions& ema, const StageContext& context) {
  const train::AverageOptions plain;
  if (ema.is_on() || (ema.use == plain.use && ema.every == plain.every)) return;
  context.note("ema.decay is 0: no weights are averaged, and the result has the trained ones");
}

void tell_left_out(const data::Loader& loader, const StageContext& context) {
  const int64_t all = loader.dataset().size(), left = all - loader.samples_per_epoch();
  constexpr int64_t kFew = 20;  // one in so many is worth no word
  if (left * kFew <= all) return;
  context.note(fmt::format(
      "{} of {} training samples ({:.0f} %), others in each epoch, fill no batch of {} and are left out: "
      "data.drop_last: false trains on them too",
      left, all, 100.0 * static_cast<double>(left) / static_cast<double>(all), loader.options().batch_size));
}

}  // namespace limbeck::recipe
