// The mode of an export: what it was, which flags stay as they are, and what a single export can't tell.
#pragma once

#include "limbeck/graph/capture/lower.h"

namespace limbeck::capture {

struct ModeGuess {
  graph::Mode mode = graph::Mode::eval;
  std::size_t train_votes = 0, eval_votes = 0;
};

/// The majority of the mode arguments that op table rows name; eval when there is no majority.
ModeGuess guess_mode(const graph::Graph& graph);

/// Whether a batch_norm or instance_norm keeps running statistics; without them its flag means no mode.
bool has_running_statistics(const graph::Node& node);

/// Bit i of the result: mode argument i of `node` must not follow train() and eval(), since in an export in `mode` it
/// had the other mode's value (a frozen BatchNorm, Monte-Carlo dropout) or means no mode.
uint64_t flags_to_pin(const graph::Node& node, graph::Mode mode);

/// Turns one export, known to be in `mode`, into a graph that runs in both: pins flags, gives outputs to both modes,
/// ties state writes, and lists in `assumptions` what the export can't know about the other mode.
void make_single(Export& source, graph::Mode mode);

/// num_batches_tracked counts the runs of its batch_norm in train mode; an eval export has no such write.
void add_missing_batch_counters(graph::Graph& graph);

}  // namespace limbeck::capture
