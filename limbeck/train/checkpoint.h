// Checkpoints: the model alone as `.lmb`, and beside it what the trainer needs to go on bit for bit.
//
//   DIR/step-00000469/model.lmb              the student; load it anywhere
//   DIR/step-00000469/trainer.safetensors    companions, optimizer, random generator; progress as JSON in its metadata
//   DIR/latest                               the name of the last complete one
//
// A checkpoint is written to a temporary folder and renamed; `latest` is replaced after that. So a kill at any moment
// leaves the previous checkpoint readable.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "limbeck/data/loader.h"
#include "limbeck/model/model.h"
#include "limbeck/train/determinism.h"
#include "limbeck/train/optim/optimizer.h"

namespace limbeck::train {

/// Sums since the epoch began, so that a resumed epoch reports what an unbroken one would.
struct EpochMeter {
  double loss_sum = 0;  // of per-batch means, weighted by samples
  int64_t correct = 0;
  int64_t samples = 0;
};

/// Results of one finished epoch.
struct EpochSummary {
  int64_t epoch = 0;
  double loss = 0;                                    // mean over the samples
  double train_accuracy = 0;                          // top-1 on the batches as they were trained on
  double seconds = 0;                                 // of training, without validation
  std::optional<double> val_accuracy = std::nullopt;  // top-1 on the held-out samples, where there are some
};

struct Progress {
  data::LoaderState next;  // the batch that comes next
  int64_t step = 0;        // optimizer steps made
  EpochMeter meter;
  std::vector<EpochSummary> epochs;
};

/// All that a checkpoint holds and restores. Models and optimizer are handles on what is being trained.
struct TrainingState {
  Model model;
  std::vector<std::pair<std::string, Model>> companions{};  // adapters: trained along, never in the model's file
  Optimizer* optimizer = nullptr;
  Progress progress{};
};

/// Writes a checkpoint of `state` (and the default CPU generator) into `directory`, replaces `latest` and removes older
/// ones. `recipe_hash` names the run that it belongs to. Throws IoError; then the previous checkpoint still stands.
void save_checkpoint(const std::filesystem::path& directory, const TrainingState& state,
                     const std::string& recipe_hash);

/// Restores the last checkpoint into `state` and the default CPU generator. Returns false when there is none. Throws
/// IoError if it is damaged, InvalidArgument if it belongs to another run. A checkpoint of another
/// ArithmeticEnvironment is taken, with a warning that the bits will differ.
bool load_checkpoint(const std::filesystem::path& directory, TrainingState& state, const std::string& recipe_hash);

}  // namespace limbeck::train
