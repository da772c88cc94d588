#include "limbeck/measure/evaluate.h"

#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "limbeck/core/error.h"
#include "limbeck/model/device.h"

namespace limbeck::measure {

std::optional<AccuracyResult> evaluate(const Model& model, data::Loader& loader, const EvaluateOptions& options) {
  LIMBECK_CHECK(!loader.options().shuffle && !loader.options().drop_last,
                "[evaluate] the loader must show every sample once, in order: no shuffle, no drop_last");
  const at::NoGradGuard no_grad;
  Model evaluated = model.with_own_modes();
  const int64_t classes = loader.dataset().num_classes();
  Accuracy accuracy(classes);
  const at::Device device = device_of(model);
  int64_t done = 0;
  loader.seek({});
  while (const std::optional<data::Batch> batch = loader.next()) {
    if (core::is_stop_requested(options.stop)) return std::nullopt;
    const at::Tensor logits = evaluated.forward(batch->x.to(device), {.state_updates = StateUpdates::discard}).logits();
    LIMBECK_CHECK(
        logits.dim() == 2 && logits.size(1) == classes,
        "[evaluate] the model gives {} and the dataset {} has {} classes. Use replace_head or another dataset.",
        logits.sizes().vec(), loader.dataset().name(), classes);
    accuracy.add(logits.to(at::kCPU), batch->y);
    done += batch->size();
    if (options.on_progress) options.on_progress(done, loader.dataset().size());
  }
  return accuracy.result();
}

}  // namespace limbeck::measure
