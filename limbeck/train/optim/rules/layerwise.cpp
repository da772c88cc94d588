#include "limbeck/train/optim/rules/layerwise.h"

#include <ATen/core/Tensor.h>

namespace limbeck::train {

bool is_adapted(Adaptation adaptation, const at::Tensor& parameter) {
  return adaptation == Adaptation::all || parameter.dim() >= 2;
}

}  // namespace limbeck::train
