#include "limbeck/load/load.h"
#include "limbeck/recipe/stage.h"
#include "limbeck/train/loop/accumulation.h"
#include "limbeck/train/optim/torch_optimizer_file.h"

namespace limbeck::recipe {

using core::Json;

namespace {

/// Momentum and moments from Python's optimizer; rates and schedule are the recipe's. Python knows parameters by their
/// position among all of its model's.
std::function<void(train::Optimizer&)> resume_optimizer(const Model& model, const std::string& path) {
  if (path.empty()) return {};
  train::TorchOptimizerOptions options{.settings = train::LoadedSettings::own};
  for (const NamedTensor& parameter : model.named_parameters()) options.parameter_order.push_back(parameter.name);
  return [path, options](train::Optimizer& optimizer) { train::load_torch_optimizer(path, optimizer, options); };
}

/// The model as it will be trained.
Model prepare(const TrainStage& stage, const StageContext& context, Model model) {
  fit_to_data(model, {stage.model, stage.logits, stage.memory_format}, context);
  if (!stage.resume_from.empty()) load_weights(model, stage.resume_from);
  freeze(model, stage.freeze, context);
  return model;
}

train::RunControl control_of(const TrainStage& stage, const StageContext& context, const Model& model,
                             const std::string& key = {}) {
  train::RunControl control = training_control(context, {stage_name(stage), key, stage.memory_format, stage.log});
  control.on_start = resume_optimizer(model, stage.resume_from);
  if (stage.resume_epoch) control.epochs_done = train::read_torch_epoch(stage.resume_from);
  return control;
}

}  // namespace

std::optional<Json> run_stage(const TrainStage& stage, StageContext& context, const std::string& key) {
  const std::string name = stage_name(stage);
  const Model model = prepare(stage, context, context.load(stage.model));
  data::Loader loader = context.data().train_loader(stage.memory_format);
  tell_left_out(loader, context);
  tell_no_average(stage.train.ema, context);
  const train::RunControl control = control_of(stage, context, model, key);
  train::check_training(model, {}, stage.train, control);
  context.workspace().begin_stage(name, key);
  const train::TrainSummary summary =
      train::train(model, {}, train::classification_objective(model, stage.train.label_smoothing, stage.train.fusion),
                   loader, stage.train, control);
  if (!summary.completed) return std::nullopt;
  tell_end(summary, stage.train, loader, context);
  save_results(model, summary, stage.train, context.workspace().model_file(name));
  return to_json(summary, loader);
}

Json plan_stage(const TrainStage& stage, const StageContext& context) {
  const Model model = prepare(stage, context, context.load_untrained(stage.model));
  train::check_training(model, {}, stage.train, control_of(stage, context, model));
  const data::Loader loader = context.data().train_loader(stage.memory_format);
  const int64_t steps = train::steps_per_epoch(loader, stage.train.accumulate) * stage.train.epochs;
  return Json::object({{"model", describe_model(model, context)}, {"steps", steps}});
}

}  // namespace limbeck::recipe
