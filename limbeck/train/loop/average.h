// A running average of a model's weights, which often classifies better than the weights themselves.
#pragma once

#include <cstdint>
#include <string_view>

#include "limbeck/model/model.h"

namespace limbeck::train {

enum class AverageUse : uint8_t {
  instead,  // the averaged weights are evaluated, and are the result
  beside,   // the trained weights are the result; the averaged ones are evaluated and kept too
};

/// Exponential moving average, as torch.optim.swa_utils.AveragedModel with get_ema_multi_avg_fn(decay).
struct AverageOptions {
  double decay = 0;   // of the average in each update; 0: no averaging
  int64_t every = 1;  // optimizer steps between two updates
  AverageUse use = AverageUse::instead;

  bool is_on() const { return decay > 0; }
  /// Throws InvalidArgument if a field is out of range.
  void validate() const;
};

/// A copy of `model` that averages it: own tensors, in eval mode, without gradients.
Model make_average(const Model& model);

/// Update number `index` (from 0) of `average`, made by make_average of `model`: parameters become
/// decay · average + (1 - decay) · model (those of update 0 the model's), buffers are copied.
void update_average(Model& average, const Model& model, double decay, int64_t index);

}  // namespace limbeck::train
