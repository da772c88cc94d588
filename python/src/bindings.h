// The parts of the extension module limbeck._core. Each adds its classes and functions to `module`; limbeck/*.py puts
// them together to what users see. All that computes releases the interpreter's lock.
#pragma once

#include <torch/csrc/utils/pybind.h>

namespace limbeck::python {

/// InvalidArgument becomes ValueError, Unsupported NotImplementedError, IoError OSError, InternalError RuntimeError,
/// with the same texts. Exceptions of Python that crossed C++ (a hook in backward) come back as they were; one that is
/// nested in an Error (of a dataset's sample) is its __cause__.
void register_errors();

void bind_model(py::module_& module);
void bind_losses(py::module_& module);
void bind_measures(py::module_& module);
void bind_update_rules(py::module_& module);
void bind_set(py::module_& module);
void bind_fit(py::module_& module);
void bind_recipes(py::module_& module);

/// For functions that compute: the lock is released after the arguments were converted.
using Unlocked = py::call_guard<py::gil_scoped_release>;

}  // namespace limbeck::python
