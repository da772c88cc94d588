// A Python object held by C++ code that runs without the interpreter's lock.
#pragma once

#include <torch/csrc/utils/pybind.h>

#include <utility>

namespace limbeck::python {

class HeldObject {
 public:
  /// With the lock held.
  explicit HeldObject(py::object object) : object_(std::move(object)) {}
  ~HeldObject() {
    const py::gil_scoped_acquire locked;
    object_ = py::object();
  }
  HeldObject(const HeldObject&) = delete;
  HeldObject& operator=(const HeldObject&) = delete;

  /// With the lock held.
  const py::object& get() const { return object_; }

 private:
  py::object object_;
};

}  // namespace limbeck::python
