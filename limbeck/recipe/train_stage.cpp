#include "limbeck/recipe/stage.h"
#include "limbeck/train/loop/accumulation.h"

namespace limbeck::recipe {

using core::Json;

std::optional<Json> run_stage(const TrainStage& stage, StageContext& context, const std::string& key) {
  const std::string name = stage_name(stage);
  context.workspace().begin_stage(name, key);
  Model model = context.load(stage.model);
  fit_to_data(model, stage.model, context, stage.memory_format);
  freeze(model, stage.freeze, context);
  data::Loader loader = context.data().train_loader(stage.memory_format);
  const train::TrainSummary summary =
      train::train(model, {}, train::classification_objective(model, stage.train.label_smoothing), loader, stage.train,
                   training_control(context, {name, key, stage.memory_format, stage.log}));
  if (!summary.completed) return std::nullopt;
  tell_end(summary, stage.train, context);
  save_results(model, summary, stage.train, context.workspace().model_file(name));
  return to_json(summary);
}

Json plan_stage(const TrainStage& stage, const StageContext& context) {
  const data::Loader loader = context.data().train_loader(stage.memory_format);
  const int64_t steps = train::steps_per_epoch(loader, stage.train.accumulate) * stage.train.epochs;
  return Json::object({{"model", describe_model(context.load_untrained(stage.model), context)}, {"steps", steps}});
}

}  // namespace limbeck::recipe
