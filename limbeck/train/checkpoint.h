// Checkpoints: the model alone as `.lmb`, and beside it what the trainer needs to go on bit for bit.
//
//   DIR/step-00000469/model.lmb              the student; load it anywhere
//   DIR/step-00000469/trainer.safetensors    companions, averaged weights, optimizer, random generators; progress and
//                                            loss scale as JSON in its metadata
//   DIR/latest                               the name of the last complete one
//   DIR/best/epoch-0003.lmb                  the weights of the best epoch, where they are asked for
//
// A checkpoint is written to a temporary folder and renamed; `latest` is replaced after that. So a kill at any moment
// leaves the previous checkpoint readable.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "limbeck/core/json/json.h"
#include "limbeck/model/model.h"
#include "limbeck/train/loop/progress.h"
#include "limbeck/train/loss_scaler.h"
#include "limbeck/train/optim/optimizer.h"

namespace limbeck::train {

/// All that a checkpoint holds and restores. Models and optimizer are handles on what is being trained.
struct TrainingState {
  Model model;
  std::vector<std::pair<std::string, Model>> companions{};  // adapters: trained along, never in the model's file
  Optimizer* optimizer = nullptr;
  std::optional<Model> average{};  // of the model's weights
  LossScaler* scaler = nullptr;    // of fp16
  Progress progress{};
};

/// Writes a checkpoint of `state` (and the random generators of its device) into `directory`, replaces `latest` and
/// removes older ones. `recipe_hash` names the run that it belongs to. Throws IoError; then the previous checkpoint
/// still stands.
void save_checkpoint(const std::filesystem::path& directory, const TrainingState& state,
                     const std::string& recipe_hash);

/// A checkpoint as its files have it, before anything of it goes into a run.
struct Checkpoint {
  std::filesystem::path model_file, trainer_file;
  Model model;
  std::vector<NamedTensor> tensors{};      // of the trainer's file
  std::optional<core::Json> loss_scale{};  // of fp16
  Progress progress{};
};

/// Reads the last checkpoint; nothing when there is none. Throws IoError if it is damaged, InvalidArgument if it
/// belongs to another run than `recipe_hash` names (nullopt: any is taken). One of another ArithmeticEnvironment is
/// taken, with a warning that the bits will differ.
std::optional<Checkpoint> read_checkpoint(const std::filesystem::path& directory,
                                          const std::optional<std::string>& recipe_hash);

/// Puts the checkpoint into `state` and the random generators of its device. Throws IoError if it lacks what this run
/// keeps (averaged weights, a loss scale), InvalidArgument if it is of another model, other companions or another
/// optimizer; then models, companions and generators are as they were.
void restore(const Checkpoint& checkpoint, TrainingState& state);

/// Writes the model's weights as those of the best epoch, atomically, beside earlier ones. Throws IoError.
void save_best(const std::filesystem::path& directory, const Model& model, int64_t epoch);

/// Copies the weights that save_best wrote for `epoch` into `model`. Throws IoError if they are missing or damaged.
void load_best(const std::filesystem::path& directory, Model& model, int64_t epoch);

/// Whether save_best's file for `epoch` is there.
bool has_best(const std::filesystem::path& directory, int64_t epoch);

/// Removes the best weights of all other epochs: once a checkpoint knows that `epoch` is the best.
void keep_best_alone(const std::filesystem::path& directory, int64_t epoch);

}  // namespace limbeck::train
