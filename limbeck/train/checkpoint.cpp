#include "limbeck/train/checkpoint.h"

#include <ATen/core/Generator.h>
#include <ATen/ops/empty.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <system_error>
#include <utility>

#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"
#include "limbeck/core/json/json.h"
#include "limbeck/core/log.h"
#include "limbeck/graph/lmb.h"
#include "limbeck/graph/weights/state_dict.h"
#include "limbeck/graph/weights/tensors.h"
#include "limbeck/model/device.h"
#include "limbeck/train/determinism.h"

namespace limbeck::train {

namespace fs = std::filesystem;
using core::Json;

namespace {

constexpr const char* kModelFile = "model.lmb";
constexpr const char* kTrainerFile = "trainer.safetensors";
constexpr const char* kLatestFile = "latest";
constexpr const char* kBestFolder = "best";
constexpr const char* kAveragePrefix = "average/";
constexpr const char* kScalerKey = "loss_scaler";
constexpr const char* kOptimizerPrefix = "optimizer/";
constexpr const char* kCompanionPrefix = "companion/";

/// All tensors of a model under the names of its graph's table, buffers that state_dict leaves out included.
std::vector<NamedTensor> tensors_of(const Model& model, const std::string& prefix) {
  std::vector<NamedTensor> tensors;
  for (const graph::Parameter& parameter : model.graph().parameters())
    tensors.push_back({prefix + parameter.name, parameter.tensor});
  return tensors;
}

std::vector<NamedTensor> trainer_tensors(const TrainingState& state) {
  std::vector<NamedTensor> tensors;
  for (const auto& [name, companion] : state.companions) {
    for (NamedTensor& tensor : tensors_of(companion, kCompanionPrefix + name + "/"))
      tensors.push_back(std::move(tensor));
  }
  for (NamedTensor& tensor : state.optimizer->state())
    tensors.push_back({kOptimizerPrefix + tensor.name, tensor.tensor});
  if (state.average) {
    for (NamedTensor& tensor : tensors_of(*state.average, kAveragePrefix)) tensors.push_back(std::move(tensor));
  }
  for (const auto& [name, generator] : generators_of(device_of(state.model)))
    tensors.push_back({name, generator.get_state()});
  return tensors;
}

std::vector<NamedTensor> with_prefix(const std::vector<NamedTensor>& tensors, const std::string& prefix) {
  std::vector<NamedTensor> result;
  for (const NamedTensor& tensor : tensors) {
    if (tensor.name.starts_with(prefix)) result.push_back({tensor.name.substr(prefix.size()), tensor.tensor});
  }
  return result;
}

/// Tensors of a file and those of a run that they go into, by name.
struct Transfer {
  weights::StateDict source;
  std::vector<NamedTensor> targets;
};

Transfer transfer(std::vector<NamedTensor> source, const Model& target, const fs::path& file) {
  Transfer result{.source = {}, .targets = tensors_of(target, "")};
  result.source.tensors = std::move(source);
  result.source.source = file.string();
  return result;
}

/// All that goes into tensors of models. Throws IoError where averaged weights are missing.
std::vector<Transfer> transfers_of(const Checkpoint& checkpoint, const TrainingState& state) {
  const fs::path& file = checkpoint.trainer_file;
  std::vector<Transfer> transfers{transfer(tensors_of(checkpoint.model, ""), state.model, checkpoint.model_file)};
  for (const auto& [name, companion] : state.companions)
    transfers.push_back(transfer(with_prefix(checkpoint.tensors, kCompanionPrefix + name + "/"), companion, file));
  if (!state.average) return transfers;
  std::vector<NamedTensor> averages = with_prefix(checkpoint.tensors, kAveragePrefix);
  if (averages.empty())
    fail<IoError>("[checkpoint] {} has no averaged weights: it is of a run without ema", file.string());
  transfers.push_back(transfer(std::move(averages), *state.average, file));
  return transfers;
}

void load_scale(const Checkpoint& checkpoint, LossScaler& scaler) {
  if (!checkpoint.loss_scale)
    fail<IoError>("[checkpoint] {} has no '{}': it is of a run in another precision than fp16",
                  checkpoint.trainer_file.string(), kScalerKey);
  scaler.load_state(*checkpoint.loss_scale);
}

void warn_of_other_environment(const std::string& saved_in) {
  const std::string now = ArithmeticEnvironment::current().to_string();
  if (saved_in != now) {
    core::log_warning("[checkpoint] made with {}, now {}: training goes on, but not bit for bit", saved_in, now);
  }
}

/// Files are of the CPU, wherever a run computes.
graph::Graph on_cpu(const Model& model) {
  if (device_of(model).is_cpu()) return model.graph();
  Model copy = model.clone();
  copy.to(at::Device(at::kCPU));
  return copy.graph();
}

/// Restores the generators that the file has a state of. One of another device keeps its own: the bits differ anyhow.
void load_generators(const std::vector<NamedTensor>& tensors, at::Device device) {
  for (auto& [name, generator] : generators_of(device)) {
    const auto saved = std::find_if(tensors.begin(), tensors.end(),
                                    [&name = name](const NamedTensor& entry) { return entry.name == name; });
    if (saved == tensors.end()) continue;
    at::Generator target = generator;
    target.set_state(saved->tensor.clone());
  }
}

fs::path best_file(const fs::path& directory, int64_t epoch) {
  return directory / kBestFolder / fmt::format("epoch-{:04}.lmb", epoch + 1);
}

core::Metadata trainer_metadata(const TrainingState& state, const std::string& recipe_hash) {
  core::Metadata metadata = {{"progress", to_json(state.progress).dump()},
                             {"environment", ArithmeticEnvironment::current().to_string()},
                             {"recipe_hash", recipe_hash}};
  if (state.scaler != nullptr) metadata[kScalerKey] = state.scaler->state().dump();
  return metadata;
}

/// Removes what `latest` does not name: older checkpoints and what a kill left half written.
void remove_others(const fs::path& directory, const std::string& latest) {
  for (const fs::directory_entry& entry : fs::directory_iterator(directory)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("step-") && name != latest) fs::remove_all(entry.path());
  }
}

std::optional<std::string> latest_name(const fs::path& directory) {
  if (!fs::exists(directory / kLatestFile)) return std::nullopt;
  std::string name = core::read_file(directory / kLatestFile, 256);
  if (!name.starts_with("step-") || name.find('/') != std::string::npos) {
    fail<IoError>("[checkpoint] {} does not name a checkpoint: remove the folder to start afresh",
                  (directory / kLatestFile).string());
  }
  return name;
}

}  // namespace

void save_checkpoint(const fs::path& directory, const TrainingState& state, const std::string& recipe_hash) {
  core::create_directories(directory);
  const std::string name = fmt::format("step-{:08}-epoch-{:04}", state.progress.step, state.progress.next.epoch);
  if (latest_name(directory) == name) return;  // the same state: it must not be gone while it is written again
  const fs::path temporary = directory / (name + ".tmp"), complete = directory / name;
  fs::remove_all(temporary);
  core::create_directories(temporary);
  graph::save_lmb(on_cpu(state.model), temporary / kModelFile);
  weights::write_tensors(temporary / kTrainerFile, trainer_tensors(state), trainer_metadata(state, recipe_hash));
  fs::remove_all(complete);  // one that a kill left before `latest` named it
  std::error_code error;
  fs::rename(temporary, complete, error);
  if (error) fail<IoError>("[checkpoint] cannot rename {}: {}", temporary.string(), error.message());
  core::write_file(directory / kLatestFile, name);
  remove_others(directory, name);
}

std::optional<Checkpoint> read_checkpoint(const fs::path& directory, const std::optional<std::string>& recipe_hash) {
  const std::optional<std::string> name = latest_name(directory);
  if (!name) return std::nullopt;
  const fs::path model_file = directory / *name / kModelFile, trainer_file = directory / *name / kTrainerFile;
  const core::SafetensorsFile file = core::SafetensorsFile::open(trainer_file);
  const auto metadata = [&](const char* key) -> const std::string& {
    const auto found = file.metadata().find(key);
    if (found == file.metadata().end()) fail<IoError>("[checkpoint] {} has no '{}'", trainer_file.string(), key);
    return found->second;
  };
  LIMBECK_CHECK(!recipe_hash || metadata("recipe_hash") == *recipe_hash,
                "[checkpoint] {} belongs to a run with other settings: name another output folder", directory.string());
  warn_of_other_environment(metadata("environment"));
  const Json progress = core::parse_json(metadata("progress"), trainer_file.string());
  Checkpoint checkpoint{.model_file = model_file,
                        .trainer_file = trainer_file,
                        .model = Model(graph::load_lmb(model_file)),
                        .tensors = weights::read_tensors(file),
                        .progress = progress_from_json(core::JsonView(progress, "[checkpoint] progress"))};
  if (file.metadata().contains(kScalerKey))
    checkpoint.loss_scale = core::parse_json(metadata(kScalerKey), trainer_file.string());
  return checkpoint;
}

void restore(const Checkpoint& checkpoint, TrainingState& state) {
  const std::vector<Transfer> transfers = transfers_of(checkpoint, state);
  for (const Transfer& transfer : transfers) weights::check_fits(transfer.source, transfer.targets);
  state.optimizer->load_state(with_prefix(checkpoint.tensors, kOptimizerPrefix));
  if (state.scaler != nullptr) load_scale(checkpoint, *state.scaler);
  load_generators(checkpoint.tensors, device_of(state.model));
  for (const Transfer& transfer : transfers) weights::copy_into(transfer.source, transfer.targets);
  state.progress = checkpoint.progress;
}

void save_best(const fs::path& directory, const Model& model, int64_t epoch) {
  core::create_directories(directory / kBestFolder);
  graph::save_lmb(on_cpu(model), best_file(directory, epoch));
}

void load_best(const fs::path& directory, Model& model, int64_t epoch) {
  const fs::path file = best_file(directory, epoch);
  const Transfer best = transfer(tensors_of(Model(graph::load_lmb(file)), ""), model, file);
  weights::copy_into(best.source, best.targets);
}

bool has_best(const fs::path& directory, int64_t epoch) { return fs::exists(best_file(directory, epoch)); }

void keep_best_alone(const fs::path& directory, int64_t epoch) {
  if (!fs::exists(directory / kBestFolder)) return;
  const fs::path kept = best_file(directory, epoch);
  for (const fs::directory_entry& entry : fs::directory_iterator(directory / kBestFolder)) {
    if (entry.path().filename() != kept.filename()) fs::remove(entry.path());
  }
}

}  // namespace limbeck::train
