// Limbeck's loader, its datasets and transforms.
#pragma once

#include <torch/csrc/utils/pybind.h>

namespace limbeck::python {

void bind_data(py::module_& module);

}  // namespace limbeck::python
