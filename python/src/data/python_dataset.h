// A user's dataset of Python as one that Limbeck's loader reads.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "limbeck/data/dataset.h"
#include "python/src/held_object.h"

namespace limbeck::python {

/// Ctrl-C that reached Python code which C++ had called: KeyboardInterrupt again once Python has control. Not an
/// exception of std, so that nothing on the way takes it for an error of a sample.
struct Interrupted {};

/// `dataset` answers size() and sample(index) -> (tensor [C, H, W], label); both may be called from any thread. The
/// first sample, which is read here, says the shape. Others may have another height and width where the loader's
/// transforms make one size of any.
std::shared_ptr<data::Dataset> python_dataset(py::object dataset, const std::string& name,
                                              std::vector<std::string> classes);

}  // namespace limbeck::python
