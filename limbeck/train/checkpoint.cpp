#include "limbeck/train/checkpoint.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/Generator.h>
#include <ATen/ops/empty.h>
#include <fmt/format.h>

#include <cstdint>
#include <optional>
#include <system_error>
#include <utility>

#include "limbeck/core/error.h"
#include "limbeck/core/file.h"
#include "limbeck/core/json.h"
#include "limbeck/core/log.h"
#include "limbeck/graph/lmb.h"
#include "limbeck/graph/weights/state_dict.h"
#include "limbeck/graph/weights/tensors.h"

namespace limbeck::train {

namespace fs = std::filesystem;
using core::Json;

namespace {

constexpr const char* kModelFile = "model.lmb";
constexpr const char* kTrainerFile = "trainer.safetensors";
constexpr const char* kLatestFile = "latest";
constexpr const char* kGeneratorName = "generator";
constexpr const char* kOptimizerPrefix = "optimizer/";
constexpr const char* kCompanionPrefix = "companion/";

Json to_json(const EpochSummary& epoch) {
  Json json = Json::object({{"epoch", epoch.epoch},
                            {"loss", epoch.loss},
                            {"train_accuracy", epoch.train_accuracy},
                            {"seconds", epoch.seconds}});
  if (epoch.val_accuracy) json["val_accuracy"] = *epoch.val_accuracy;
  return json;
}

Json to_json(const Progress& progress) {
  Json::Array epochs;
  for (const EpochSummary& epoch : progress.epochs) epochs.push_back(to_json(epoch));
  return Json::object({{"epoch", progress.next.epoch},
                       {"step_in_epoch", progress.next.step},
                       {"step", progress.step},
                       {"loss_sum", progress.meter.loss_sum},
                       {"correct", progress.meter.correct},
                       {"samples", progress.meter.samples},
                       {"epochs", std::move(epochs)}});
}

Progress progress_from(const core::JsonView& json) {
  Progress progress;
  progress.next = {.epoch = json["epoch"].as_int(0, UINT32_MAX), .step = json["step_in_epoch"].as_int(0, INT64_MAX)};
  progress.step = json["step"].as_int(0, INT64_MAX);
  progress.meter = {.loss_sum = json["loss_sum"].as_double(),
                    .correct = json["correct"].as_int(),
                    .samples = json["samples"].as_int()};
  for (const core::JsonView& epoch : json["epochs"].elements()) {
    const auto val_accuracy = epoch.get("val_accuracy");
    progress.epochs.push_back({.epoch = epoch["epoch"].as_int(),
                               .loss = epoch["loss"].as_double(),
                               .train_accuracy = epoch["train_accuracy"].as_double(),
                               .seconds = epoch["seconds"].as_double(),
                               .val_accuracy = val_accuracy ? std::optional(val_accuracy->as_double()) : std::nullopt});
  }
  return progress;
}

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
  tensors.push_back({kGeneratorName, at::detail::getDefaultCPUGenerator().get_state()});
  return tensors;
}

/// Copies `source` into the tensors of `targets` by name, after all names and shapes were compared.
void copy_by_name(const std::vector<NamedTensor>& source, const std::vector<NamedTensor>& targets,
                  const fs::path& file) {
  weights::StateDict dict;
  dict.tensors = source;
  dict.source = file.string();
  weights::copy_into(dict, targets);
}

std::vector<NamedTensor> with_prefix(const std::vector<NamedTensor>& tensors, const std::string& prefix) {
  std::vector<NamedTensor> result;
  for (const NamedTensor& tensor : tensors) {
    if (tensor.name.starts_with(prefix)) result.push_back({tensor.name.substr(prefix.size()), tensor.tensor});
  }
  return result;
}

void warn_of_other_environment(const std::string& saved_in) {
  const std::string now = ArithmeticEnvironment::current().to_string();
  if (saved_in != now) {
    core::log_warning("[checkpoint] made with {}, now {}: training goes on, but not bit for bit", saved_in, now);
  }
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
  graph::save_lmb(state.model.graph(), temporary / kModelFile);
  weights::write_tensors(temporary / kTrainerFile, trainer_tensors(state),
                         {{"progress", to_json(state.progress).dump()},
                          {"environment", ArithmeticEnvironment::current().to_string()},
                          {"recipe_hash", recipe_hash}});
  fs::remove_all(complete);  // one that a kill left before `latest` named it
  std::error_code error;
  fs::rename(temporary, complete, error);
  if (error) fail<IoError>("[checkpoint] cannot rename {}: {}", temporary.string(), error.message());
  core::write_file(directory / kLatestFile, name);
  remove_others(directory, name);
}

bool load_checkpoint(const fs::path& directory, TrainingState& state, const std::string& recipe_hash) {
  const std::optional<std::string> name = latest_name(directory);
  if (!name) return false;
  const fs::path model_file = directory / *name / kModelFile, trainer_file = directory / *name / kTrainerFile;
  const core::SafetensorsFile file = core::SafetensorsFile::open(trainer_file);
  const auto metadata = [&](const char* key) -> const std::string& {
    const auto found = file.metadata().find(key);
    if (found == file.metadata().end()) fail<IoError>("[checkpoint] {} has no '{}'", trainer_file.string(), key);
    return found->second;
  };
  LIMBECK_CHECK(metadata("recipe_hash") == recipe_hash,
                "[checkpoint] {} belongs to a run with other settings: name another output folder", directory.string());
  warn_of_other_environment(metadata("environment"));
  const Json progress = core::parse_json(metadata("progress"), trainer_file.string());
  const std::vector<NamedTensor> tensors = weights::read_tensors(file);
  copy_by_name(tensors_of(Model(graph::load_lmb(model_file)), ""), tensors_of(state.model, ""), model_file);
  for (const auto& [companion_name, companion] : state.companions) {
    copy_by_name(with_prefix(tensors, kCompanionPrefix + companion_name + "/"), tensors_of(companion, ""),
                 trainer_file);
  }
  state.optimizer->load_state(with_prefix(tensors, kOptimizerPrefix));
  for (const NamedTensor& generator : with_prefix(tensors, kGeneratorName)) {
    at::Generator target = at::detail::getDefaultCPUGenerator();
    target.set_state(generator.tensor.clone());
  }
  state.progress = progress_from(core::JsonView(progress, "[checkpoint] progress"));
  return true;
}

}  // namespace limbeck::train
