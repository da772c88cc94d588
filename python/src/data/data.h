// Limbeck's datasets, and what models' files say of the images that they take.
#pragma once

#include <torch/csrc/utils/pybind.h>

namespace limbeck::python {

void bind_data(py::module_& module);

}  // namespace limbeck::python
