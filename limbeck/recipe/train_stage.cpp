#include "limbeck/graph/lmb.h"
#include "limbeck/recipe/stage.h"

namespace limbeck::recipe {

using core::Json;

std::optional<Json> run_stage(const TrainStage& stage, StageContext& context, const std::string& key) {
  const std::string name = stage_name(stage);
  context.workspace().begin_stage(name, key);
  Model model = context.load(stage.model);
  fit_to_data(model, stage.model, context, stage.memory_format);
  data::Loader loader = context.data().train_loader(stage.memory_format);
  const train::TrainSummary summary =
      train::train(model, {}, train::classification_objective(model, stage.train.label_smoothing), loader, stage.train,
                   training_control(context, name, key, model, stage.memory_format));
  if (!summary.completed) return std::nullopt;
  graph::save_lmb(model.graph(), context.workspace().model_file(name));
  return to_json(summary);
}

Json plan_stage(const TrainStage& stage, const StageContext& context) {
  const int64_t steps = context.data().train_loader(stage.memory_format).batches_per_epoch() * stage.train.epochs;
  return Json::object({{"model", describe_model(context.load_untrained(stage.model), context)}, {"steps", steps}});
}

}  // namespace limbeck::recipe
