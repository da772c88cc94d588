#include "limbeck/train/loop/take_over.h"

#include <algorithm>

#include "limbeck/core/error.h"
#include "limbeck/train/loop/accumulation.h"

namespace limbeck::train {

namespace {

/// Within an epoch the place counts batches; between two epochs any batches that make as many steps do.
void check_length(const Progress& there, const std::string& run, const EpochLength& here) {
  LIMBECK_CHECK(there.next.step <= here.batches,
                "[train] the run of '{}' stands at batch {} of an epoch, and this data has {}: give the data and the "
                "batch size of that run",
                run, there.next.step, here.batches);
  if (!there.length) return;  // a checkpoint from before it was written
  const bool is_between_epochs = there.next.step == 0;
  LIMBECK_CHECK(there.length->steps == here.steps && (is_between_epochs || there.length->batches == here.batches),
                "[train] an epoch of the run of '{}' has {} batches and {} steps, and one of this run {} and {}: its "
                "schedule cannot go on. Give the data, batch_size, drop_last and accumulate of that run.",
                run, there.length->batches, there.length->steps, here.batches, here.steps);
}

void check_monitor(const Progress& there, const std::string& run, const TrainOptions& options) {
  const bool is_needed = options.early_stop.patience > 0 || options.schedule.kind == ScheduleKind::plateau;
  const bool has_all = std::all_of(there.epochs.begin(), there.epochs.end(),
                                   [&](const EpochSummary& epoch) { return has_metric(epoch, options.monitor); });
  LIMBECK_CHECK(!is_needed || has_all,
                "[train] {} goes by {}, and the run of '{}' held out no samples: set monitor to loss or train_accuracy",
                options.early_stop.patience > 0 ? "early_stop" : "the plateau schedule", metric_name(options.monitor),
                run);
}

}  // namespace

EpochLength epoch_length(const data::Loader& loader, int64_t accumulate) {
  return {.batches = loader.batches_per_epoch(), .steps = steps_per_epoch(loader, accumulate)};
}

void check_take_over(const Progress& there, const std::string& run, const TrainOptions& options,
                     const data::Loader& loader) {
  LIMBECK_CHECK(there.next.epoch < options.epochs,
                "[train] the run of '{}' has done {} epochs, and epochs is {}: ask for more", run, there.next.epoch,
                options.epochs);
  check_length(there, run, epoch_length(loader, options.accumulate));
  check_monitor(there, run, options);
  LIMBECK_CHECK(!is_early_stop(there.epochs, options.monitor, options.early_stop),
                "[train] the run of '{}' has stopped early, after {} epochs: its last {} brought no better {}. To go "
                "on, give early_stop a larger patience, or leave it out.",
                run, there.epochs.size(), options.early_stop.patience, metric_name(options.monitor));
}

}  // namespace limbeck::train
