// The course of a training run as files: one JSON line per logged step and per epoch, and TensorBoard's event files.
//
//   FOLDER/metrics.jsonl          {"kind": "step", "epoch": 1, "step": 50, "loss": 1.2, "lr": 0.1, ...}
//   FOLDER/events.out.tfevents.*  the same as scalars: train/loss, train/lr, ..., epoch/val_accuracy
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>

#include "limbeck/train/loop/event_file.h"
#include "limbeck/train/loop/progress.h"

namespace limbeck::train {

struct MetricsOptions {
  std::filesystem::path folder{};  // empty: no files
  int64_t every_steps = 50;        // optimizer steps between two lines of steps; 0: epochs alone
  bool tensorboard = false;        // event files too
};

/// One optimizer step, after it was made.
struct StepReport {
  int64_t epoch = 0;        // from 0
  int64_t step = 0;         // of the whole run, from 1
  double loss = 0;          // mean over the step's samples
  double grad_norm = 0;     // joint 2-norm of the gradients, before clipping
  double lr = 0;            // the optimizer's; that of its groups has the same factor
  int64_t samples = 0;      // in the step
  double seconds = 0;       // since the step before, validation and checkpoints left out
  bool is_skipped = false;  // fp16: the gradients overflowed, so that nothing was updated
};

/// Writes one line a time, flushed, so that a kill loses nothing that was told.
class MetricsLog {
 public:
  /// Goes on with the files in the folder: lines of `steps_done` steps and less stay, those that a run wrote after its
  /// last checkpoint go, since they will be written again. Throws IoError, and InvalidArgument for options out of
  /// range.
  MetricsLog(const MetricsOptions& options, int64_t steps_done);

  /// Where the step is due for it.
  void add_step(const StepReport& report);
  /// `step` is the number of the epoch's last step.
  void add_epoch(const EpochSummary& summary, int64_t step);

 private:
  void write_line(const core::Json& line);
  void write_scalars(int64_t step, const char* group, const core::Json& line);

  MetricsOptions options_;
  std::filesystem::path path_;
  std::ofstream lines_;
  std::optional<EventFile> events_;
};

}  // namespace limbeck::train
