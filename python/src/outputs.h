// What a run gave back, as Python has it: tensors, numbers and None.
#pragma once

#include <torch/csrc/utils/pybind.h>

#include "limbeck/model/model.h"

namespace limbeck::python {

/// (outputs in the order of the output tree's leaves, taps in the order asked for), two lists. An output that the
/// original returns as a number is an int, float or bool again, one that it returns as None is None. With the lock
/// held.
py::tuple as_lists(const Outputs& outputs);

}  // namespace limbeck::python
