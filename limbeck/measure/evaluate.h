// Accuracy of a model on a dataset.
#pragma once

#include <functional>
#include <optional>

#include "limbeck/core/stop.h"
#include "limbeck/data/loader.h"
#include "limbeck/measure/accuracy.h"
#include "limbeck/model/model.h"

namespace limbeck::measure {

struct EvaluateOptions {
  const core::StopFlag* stop = nullptr;                          // raised: nothing is returned
  std::function<void(int64_t done, int64_t all)> on_progress{};  // samples
};

/// Runs the model in eval mode, without gradients or state updates, over one epoch of `loader` (not shuffled, nothing
/// dropped) and leaves the model's mode as it was. Throws InvalidArgument when the logits do not have as many classes
/// as the dataset. Nothing when stopped.
std::optional<AccuracyResult> evaluate(const Model& model, data::Loader& loader, const EvaluateOptions& options = {});

}  // namespace limbeck::measure
