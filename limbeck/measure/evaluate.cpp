#include "limbeck/measure/evaluate.h"

#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "limbeck/core/error.h"
#include "limbeck/data/stray_label.h"
#include "limbeck/model/device.h"

namespace limbeck::measure {

namespace {

/// Batches come in order, so the dataset's first stray label is the batch's, which does not know its file.
void check_labels(const at::Tensor& labels, int64_t of_model, const data::Dataset& dataset) {
  if (!data::find_stray_label(labels, of_model)) return;
  fail<InvalidArgument>(
      "[evaluate] the model gives logits of {} classes, and in {} {}. Correct the label, use replace_head or another "
      "dataset.",
      of_model, dataset.name(), data::find_stray_label(dataset, of_model)->to_string());
}

/// The labels as classes of the model.
at::Tensor labels_of(const data::Batch& batch, const std::vector<int64_t>& classes) {
  if (classes.empty()) return batch.y;
  at::Tensor labels = batch.y.clone();
  auto* label = labels.mutable_data_ptr<int64_t>();
  for (int64_t i = 0; i < labels.numel(); ++i) label[i] = classes[static_cast<std::size_t>(label[i])];
  return labels;
}

void check_classes(const std::vector<int64_t>& classes, int64_t of_model, const data::Dataset& dataset) {
  if (classes.empty()) return;
  const bool are_in_range =
      std::all_of(classes.begin(), classes.end(), [&](int64_t one) { return one >= 0 && one < of_model; });
  LIMBECK_CHECK(std::cmp_equal(classes.size(), dataset.num_classes()) && are_in_range,
                "[evaluate] 'classes' must have one of the model's {} for each of the dataset's {}, got {}.", of_model,
                dataset.num_classes(), classes);
}

}  // namespace

std::optional<AccuracyResult> evaluate(const Model& model, data::Loader& loader, const EvaluateOptions& options) {
  LIMBECK_CHECK(!loader.options().shuffle && !loader.options().drop_last,
                "[evaluate] the loader must show every sample once, in order: no shuffle, no drop_last");
  const at::NoGradGuard no_grad;
  Model evaluated = model.with_own_modes();
  std::optional<Accuracy> accuracy;
  const at::Device device = device_of(model);
  int64_t done = 0;
  loader.seek({});
  while (const std::optional<data::Batch> batch = loader.next()) {
    if (core::is_stop_requested(options.stop)) return std::nullopt;
    const at::Tensor logits = evaluated.forward(batch->x.to(device), {.state_updates = StateUpdates::discard}).logits();
    LIMBECK_CHECK(logits.dim() == 2,
                  "[evaluate] the model's logits must be [B, C], got {}. Name the output that classifies.",
                  logits.sizes().vec());
    if (!accuracy) {
      check_classes(options.classes, logits.size(1), loader.dataset());
      accuracy.emplace(logits.size(1));
    }
    const at::Tensor labels = labels_of(*batch, options.classes);
    check_labels(labels, logits.size(1), loader.dataset());
    accuracy->add(logits.to(at::kCPU), labels);
    done += batch->size();
    if (options.on_progress) options.on_progress(done, loader.dataset().size());
  }
  return accuracy->result();
}

}  // namespace limbeck::measure
