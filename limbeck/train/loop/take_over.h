// Going on from another run's checkpoint under options of one's own: what of that run must hold for this one.
#pragma once

#include <string>

#include "limbeck/data/loader.h"
#include "limbeck/train/trainer.h"

namespace limbeck::train {

/// Batches and optimizer steps of an epoch.
EpochLength epoch_length(const data::Loader& loader, int64_t accumulate);

/// Throws InvalidArgument where a run that stands at `there` cannot go on under `options`: all epochs are done; they
/// are of another length, so that step, place in the schedule and place in the data no longer belong together;
/// early_stop ends it before its first step; or early_stop or plateau go by a validation that earlier epochs did not
/// have. `run` names that run in messages.
void check_take_over(const Progress& there, const std::string& run, const TrainOptions& options,
                     const data::Loader& loader);

}  // namespace limbeck::train
