#include "limbeck/train/losses.h"

#include <optional>

#include "limbeck/distill/losses.h"
#include "python/src/bindings.h"

namespace limbeck::python {

namespace {

at::Tensor kd(const at::Tensor& student, const at::Tensor& teacher, const std::optional<at::Tensor>& labels,
              double temperature, double alpha, double label_smoothing) {
  return distill::kd(student, teacher, labels.value_or(at::Tensor()),
                     {.temperature = temperature, .alpha = alpha, .label_smoothing = label_smoothing});
}

}  // namespace

void bind_losses(py::module_& module) {
  const distill::KdOptions defaults;
  module.def("cross_entropy", &train::cross_entropy, py::arg("logits"), py::arg("labels"), py::arg("label_smoothing"),
             Unlocked());
  module.def("kd", &kd, py::arg("student"), py::arg("teacher"), py::arg("labels"), py::arg("temperature"),
             py::arg("alpha"), py::arg("label_smoothing"), Unlocked());
  module.def("feature_mse", &distill::feature_mse, py::arg("student"), py::arg("teacher"), Unlocked());
  module.attr("KD_TEMPERATURE") = defaults.temperature;
  module.attr("KD_ALPHA") = defaults.alpha;
}

}  // namespace limbeck::python
