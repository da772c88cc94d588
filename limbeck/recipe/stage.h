// Internal to limbeck/recipe: what a stage's code gets and gives. One stage, one file.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "limbeck/core/json/json.h"
#include "limbeck/model/model.h"
#include "limbeck/recipe/data_source.h"
#include "limbeck/recipe/run.h"
#include "limbeck/recipe/workspace.h"

namespace limbeck::recipe {

/// Where a model of the recipe comes from, with the hash of all that made it.
struct Source {
  std::string key;         // hash of the options, or of the stage that made it
  std::string base;        // the name in `models` that it began as
  bool is_result = false;  // a stage's: its file stands in the workspace
};

/// What stages share during one run.
class StageContext {
 public:
  StageContext(const Recipe& recipe, const RunControl& control, const Workspace& workspace, const DataSource& data);

  const Recipe& recipe() const { return recipe_; }
  const RunControl& control() const { return control_; }
  const Workspace& workspace() const { return workspace_; }
  const DataSource& data() const { return data_; }

  /// The hash of the model that `name` stands for now.
  const std::string& key_of(const std::string& name) const;
  /// Hash of the data's content and options, and the seed.
  const std::string& data_key() const { return data_key_; }
  /// Where models run.
  at::Device device() const { return device_; }
  /// The first `count` test images there, prepared by the data's test transforms, or as given.
  at::Tensor test_images(int64_t count, MemoryLayout layout) const;
  at::Tensor test_images(int64_t count, MemoryLayout layout, const std::vector<data::Transform>& transforms) const;
  /// A model of its own, on the device: a stage's result from its file, else built or loaded as `models` says.
  Model load(const std::string& name) const;
  /// What `name` began as: the same architecture with the weights of `models`.
  Model load_untrained(const std::string& name) const;
  /// What `models` says of the model that `name` began as.
  const ModelOptions& options_of(const std::string& name) const;
  /// The .lmb that `name` comes from as it is; nothing for models that are built, captured or given other weights.
  std::optional<std::filesystem::path> file_of(const std::string& name) const;
  /// Whether `name` has the weights that it was built with: no stage trained it and no file gave it any.
  bool has_random_weights(const std::string& name) const;
  /// From now on `name` is the result of the stage under `key`, which trained `made_from`.
  void add_result(const std::string& name, const std::string& key, const std::string& made_from);
  /// Results so far, in order.
  const std::vector<std::string>& results() const { return results_; }

  /// A copy in which names may come to stand for other results, and that says nothing: for looking ahead.
  StageContext quiet_copy() const;

  StageTitle title;  // of the stage that runs now
  void note(const std::string& line) const;

 private:
  const Recipe& recipe_;
  const RunControl& control_;
  const Workspace& workspace_;
  const DataSource& data_;
  at::Device device_;
  std::string data_key_;
  std::map<std::string, Source> sources_;
  std::vector<std::string> results_;
  bool is_quiet_ = false;
};

/// Hash of what a stage depends on: its effective options, the data and the models that it takes.
std::string stage_key(const StageContext& context, const Stage& stage);

/// The models that an evaluate stage compares: those that it names, else all results so far.
const std::vector<std::string>& compared_models(const EvaluateStage& stage, const StageContext& context);

/// Builds or loads a model as `models` says, on the CPU; seed for fresh weights. Tells `note`, where given, what became
/// of the weights of a replaced classifier and of a softmax at the end.
Model make_model(const ModelOptions& options, uint64_t seed, const std::function<void(const std::string&)>& note = {});

/// The stages. Each returns what it did for the report, or nothing when it was stopped (after saving).
std::optional<core::Json> run_stage(const TrainStage& stage, StageContext& context, const std::string& key);
std::optional<core::Json> run_stage(const DistillStage& stage, StageContext& context, const std::string& key);
std::optional<core::Json> run_stage(const EvaluateStage& stage, StageContext& context, const std::string& key);

/// What the stages would do, for a dry run: shapes, costs, adapters, steps.
core::Json plan_stage(const TrainStage& stage, const StageContext& context);
core::Json plan_stage(const DistillStage& stage, const StageContext& context);
core::Json plan_stage(const EvaluateStage& stage, const StageContext& context);

/// Parameters, multiply-adds, and shapes of input and logits of a model on the recipe's data.
core::Json describe_model(const Model& model, const StageContext& context);

/// The files and formats of one training run.
struct TrainingPlace {
  std::string stage, key;  // the result's name, and the hash of what it depends on
  MemoryLayout layout = MemoryLayout::channels_last;
  train::MetricsOptions log{};
};

/// Control of a training run: checkpoints and metrics in the stage's folder, progress to the run's events, accuracy and
/// loss on the held-out samples after each epoch where the data has some.
train::RunControl training_control(const StageContext& context, const TrainingPlace& place);

/// Freezes what the patterns match, and says how much that is. Throws InvalidArgument for a pattern that matches
/// nothing or leaves nothing to train.
void freeze(Model& model, const std::vector<std::string>& patterns, const StageContext& context);

/// Writes what a completed run made of `trained` as the stage's model, on the CPU and with every parameter trainable
/// again, and beside it what else was asked for: last.lmb with keep: best, ema.lmb or trained.lmb with ema.
void save_results(const Model& trained, const train::TrainSummary& summary, const train::TrainOptions& options,
                  const std::filesystem::path& model_file);

/// The mean and stddev that the model was trained with, where they are others than the data's.
std::optional<data::Normalize> other_normalization(const Model& model, const StageContext& context);

/// Says why training ended before its last epoch, which epoch the result is of, where that is another, and how many
/// samples could not be read.
void tell_end(const train::TrainSummary& summary, const train::TrainOptions& options, const data::Loader& loader,
              const StageContext& context);

/// Epochs, the best one and time of a training run as JSON; with on_error: skip `skipped_samples`, those that were left
/// out since the run was last started, each counted in every epoch.
core::Json to_json(const train::TrainSummary& summary, const data::Loader& loader);

/// A model's place in a stage.
struct ModelPlace {
  std::string name;    // of `models` or a result
  std::string logits;  // the output that classifies; empty: as Outputs::logits() takes it, with a note of the others
  MemoryLayout layout = MemoryLayout::channels_last;
};

/// Names the output that classifies, puts weights of convolutions into the layout, and the data's preprocessing and
/// labels into the model's metadata. Throws InvalidArgument, naming the model, unless it has such an output, takes the
/// data's images and gives one logit a class.
void fit_to_data(Model& model, const ModelPlace& place, const StageContext& context);

/// The same for a model that is tested on images prepared by `transforms`: its metadata stays, and the data may have
/// fewer classes. Returns the number of the model's.
int64_t fit_to_test(Model& model, const ModelPlace& place, const StageContext& context,
                    const std::vector<data::Transform>& transforms);

/// Says that no weights are averaged, where settings of the average stand beside a decay of 0.
void tell_no_average(const train::AverageOptions& ema, const StageContext& context);

/// Says how many samples an epoch leaves out, where they are more than a few.
void tell_left_out(const data::Loader& loader, const StageContext& context);

}  // namespace limbeck::recipe
