#include "python/src/outputs.h"

#include <vector>

namespace limbeck::python {

namespace {

py::object as_object(const at::Tensor& output) {
  const bool is_number = output.defined() && output.unsafeGetTensorImpl()->is_wrapped_number();
  return is_number ? py::cast(output.item()) : py::cast(output);
}

py::list as_list(const std::vector<NamedTensor>& named) {
  py::list objects;
  for (const NamedTensor& entry : named) objects.append(as_object(entry.tensor));
  return objects;
}

}  // namespace

py::tuple as_lists(const Outputs& outputs) { return py::make_tuple(as_list(outputs.tensors), as_list(outputs.taps)); }

}  // namespace limbeck::python
