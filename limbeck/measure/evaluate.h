// Accuracy of a model on a dataset.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "limbeck/core/stop.h"
#include "limbeck/data/loader.h"
#include "limbeck/measure/accuracy.h"
#include "limbeck/model/model.h"

namespace limbeck::measure {

struct EvaluateOptions {
  const core::StopFlag* stop = nullptr;                          // raised: nothing is returned
  std::function<void(int64_t done, int64_t all)> on_progress{};  // samples
  std::vector<int64_t> classes{};  // the model's class that each of the dataset's is; empty: the same numbers
};

/// Runs the model in eval mode, without gradients or state updates, over one epoch of `loader` (not shuffled, nothing
/// dropped) and leaves the model's mode as it was. The dataset may have fewer classes than the model: those of the
/// result are the model's. Throws InvalidArgument, naming the first such sample, where a label is no class of the
/// model's, and unless options.classes, where given, has one of the model's for each of the dataset's. Nothing when
/// stopped.
std::optional<AccuracyResult> evaluate(const Model& model, data::Loader& loader, const EvaluateOptions& options = {});

}  // namespace limbeck::measure
