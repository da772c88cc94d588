#include <torch/csrc/Exceptions.h>

#include <exception>
#include <utility>

#include "limbeck/core/error.h"
#include "python/src/bindings.h"
#include "python/src/data/python_dataset.h"

namespace limbeck::python {

namespace {

/// The exception of Python that `error` was made from, or none.
py::object cause_of(const std::exception& error) {
  try {
    std::rethrow_if_nested(error);
  } catch (const py::error_already_set& cause) {
    PyException_SetTraceback(cause.value().ptr(), cause.trace() ? cause.trace().ptr() : Py_None);
    return cause.value();
  } catch (const std::exception& inner) {
    return cause_of(inner);
  }
  return {};
}

void raise(PyObject* type, const std::exception& error) {
  py::object cause = cause_of(error);
  PyErr_SetString(type, error.what());
  if (!cause) return;
  const py::error_already_set raised;  // takes what was set
  PyException_SetCause(raised.value().ptr(), cause.release().ptr());
  PyErr_SetObject(type, raised.value().ptr());
}

void translate(std::exception_ptr raised) {
  try {
    if (raised) std::rethrow_exception(std::move(raised));
  } catch (python_error& error) {
    error.restore();
  } catch (const Interrupted&) {
    PyErr_SetNone(PyExc_KeyboardInterrupt);
  } catch (const InvalidArgument& error) {
    raise(PyExc_ValueError, error);
  } catch (const Unsupported& error) {
    raise(PyExc_NotImplementedError, error);
  } catch (const IoError& error) {
    raise(PyExc_OSError, error);
  } catch (const Error& error) {
    raise(PyExc_RuntimeError, error);
  } catch (const c10::Error& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what_without_backtrace());
  }
}

}  // namespace

void register_errors() { py::register_local_exception_translator(translate); }

}  // namespace limbeck::python
