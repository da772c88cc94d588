#include "limbeck/train/loop/progress.h"

#include <utility>

namespace limbeck::train {

using core::Json;

namespace {

std::optional<double> optional_number(const core::JsonView& json, const char* key) {
  const auto value = json.get(key);
  return value ? std::optional(value->as_extended_double()) : std::nullopt;
}

EpochSummary epoch_from_json(const core::JsonView& json) {
  EpochSummary epoch{.epoch = json["epoch"].as_int(),
                     .loss = json["loss"].as_double(),
                     .train_accuracy = json["train_accuracy"].as_double(),
                     .seconds = json["seconds"].as_double(),
                     .val_accuracy = optional_number(json, "val_accuracy"),
                     .val_loss = optional_number(json, "val_loss")};
  if (const auto accuracy = optional_number(json, "averaged_val_accuracy")) {
    epoch.averaged = {.accuracy = *accuracy, .loss = json["averaged_val_loss"].as_extended_double()};
  }
  return epoch;
}

}  // namespace

Json to_json(const EpochSummary& epoch) {
  Json json = Json::object({{"epoch", epoch.epoch},
                            {"loss", epoch.loss},
                            {"train_accuracy", epoch.train_accuracy},
                            {"seconds", epoch.seconds}});
  if (epoch.val_accuracy) json["val_accuracy"] = *epoch.val_accuracy;
  if (epoch.val_loss) json["val_loss"] = Json::number(*epoch.val_loss);
  if (epoch.averaged) {
    json["averaged_val_accuracy"] = epoch.averaged->accuracy;
    json["averaged_val_loss"] = Json::number(epoch.averaged->loss);
  }
  return json;
}

Json to_json(const Progress& progress) {
  Json::Array epochs;
  for (const EpochSummary& epoch : progress.epochs) epochs.push_back(to_json(epoch));
  Json json = Json::object({{"epoch", progress.next.epoch},
                            {"step_in_epoch", progress.next.step},
                            {"step", progress.step},
                            {"loss_sum", progress.meter.loss_sum},
                            {"correct", progress.meter.correct},
                            {"samples", progress.meter.samples},
                            {"epochs", std::move(epochs)}});
  if (progress.best_from > 0) json["best_from"] = progress.best_from;
  if (progress.length) {
    json["batches_per_epoch"] = progress.length->batches;
    json["steps_per_epoch"] = progress.length->steps;
  }
  return json;
}

Progress progress_from_json(const core::JsonView& json) {
  Progress progress;
  progress.next = {.epoch = json["epoch"].as_int(0, UINT32_MAX), .step = json["step_in_epoch"].as_int(0, INT64_MAX)};
  progress.step = json["step"].as_int(0, INT64_MAX);
  progress.meter = {.loss_sum = json["loss_sum"].as_double(),
                    .correct = json["correct"].as_int(),
                    .samples = json["samples"].as_int()};
  for (const core::JsonView& epoch : json["epochs"].elements()) progress.epochs.push_back(epoch_from_json(epoch));
  if (const auto from = json.get("best_from"))
    progress.best_from = static_cast<std::size_t>(from->as_int(0, static_cast<int64_t>(progress.epochs.size())));
  if (const auto batches = json.get("batches_per_epoch"))
    progress.length = {.batches = batches->as_int(0, INT64_MAX), .steps = json["steps_per_epoch"].as_int(0, INT64_MAX)};
  return progress;
}

}  // namespace limbeck::train
