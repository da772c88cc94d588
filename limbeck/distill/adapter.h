// Adapters: what brings a student's feature to the shape of the teacher's, so that the two can be compared.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "limbeck/model/model.h"

namespace limbeck::distill {

/// Shape of one tapped feature without its batch axis: [C, H, W] of a map, [C] of a vector, [N, C] of tokens.
using FeatureShape = std::vector<int64_t>;

/// How a pair of features is made comparable.
struct AdapterPlan {
  bool projects = false;                     // student through a 1x1 convolution + BatchNorm (maps) or a linear layer
  std::optional<FeatureShape> pool_student;  // adaptive average pooling of the student's map to this [H, W]
  std::optional<FeatureShape> pool_teacher;  // and of the teacher's
  FeatureShape student, teacher;             // the features' own shapes

  std::string to_string() const;  // "1x1 conv 32 -> 128 + BatchNorm, pool teacher to 7x7"
};

/// Decides from the shapes: projection where the channels differ, pooling of the larger map where the sizes do. Throws
/// Unsupported, with both shapes, for pairs that neither makes equal (maps against vectors, different token counts).
AdapterPlan plan_adapter(const FeatureShape& student, const FeatureShape& teacher);

/// The trainable part of the plan as a model of one input, initialised from `seed` (Kaiming uniform as PyTorch's
/// layers); nullopt where the plan has none.
std::optional<Model> make_adapter(const AdapterPlan& plan, uint64_t seed);

/// Average pooling to [H, W] where `size` is given, else the map itself. map: [B, C, H, W].
at::Tensor pool_to(const at::Tensor& map, const std::optional<FeatureShape>& size);

}  // namespace limbeck::distill
