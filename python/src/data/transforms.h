// Limbeck's transforms as classes of Python's, made by name from the one table of their options.
#pragma once

#include <vector>

#include "limbeck/data/transforms.h"
#include "limbeck/data/transforms/mix.h"
#include "python/src/bindings.h"

namespace limbeck::python {

/// A transform as one class of Python's; pybind11 would take the variant itself apart.
struct AnyTransform {
  data::Transform value;
};

struct AnyBatchTransform {
  data::BatchTransform value;
};

std::vector<data::Transform> values_of(const std::vector<AnyTransform>& transforms);
std::vector<data::BatchTransform> values_of(const std::vector<AnyBatchTransform>& transforms);

void bind_transforms(py::module_& module);

}  // namespace limbeck::python
