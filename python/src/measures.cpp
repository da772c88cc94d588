#include <ATen/ops/empty.h>

#include <algorithm>

#include "limbeck/measure/accuracy.h"
#include "limbeck/measure/latency.h"
#include "limbeck/measure/profile.h"
#include "python/src/bindings.h"

namespace limbeck::python {

namespace {

using measure::AccuracyResult;

py::tuple ends_of(const measure::Interval& interval) { return py::make_tuple(interval.low, interval.high); }

at::Tensor confusion_of(const AccuracyResult& result) {
  const int64_t classes = result.confusion.num_classes;
  at::Tensor counts = at::empty({classes, classes}, at::kLong);
  std::copy(result.confusion.counts.begin(), result.confusion.counts.end(), counts.mutable_data_ptr<int64_t>());
  return counts;
}

py::dict as_dict(const AccuracyResult& result) {
  py::dict fields;
  fields["samples"] = result.num_samples;
  fields["not_a_number"] = result.num_not_a_number;
  fields["top1"] = result.top1;
  fields["top5"] = result.top5;
  fields["top1_interval"] = ends_of(result.top1_interval);
  fields["top5_interval"] = ends_of(result.top5_interval);
  fields["nll"] = result.nll;
  fields["ece"] = result.ece;
  fields["confusion"] = confusion_of(result);
  fields["per_class"] = result.per_class;
  return fields;
}

py::dict as_dict(const measure::LatencyResult& result) {
  py::dict fields;
  fields["name"] = result.name;
  fields["calls"] = result.num_calls;
  fields["min_ms"] = result.min_ms;
  fields["p50_ms"] = result.p50_ms;
  fields["p90_ms"] = result.p90_ms;
  fields["p99_ms"] = result.p99_ms;
  fields["max_ms"] = result.max_ms;
  fields["mean_ms"] = result.mean_ms;
  fields["items_per_s"] = result.items_per_s;
  return fields;
}

py::dict as_dict(const measure::Profile& profile) {
  py::list scopes;
  for (const measure::ScopeCost& cost : profile.scopes)
    scopes.append(py::make_tuple(cost.scope, cost.type, cost.parameters, cost.macs));
  py::dict fields;
  fields["parameters"] = profile.parameters;
  fields["buffers"] = profile.buffers;
  fields["parameter_bytes"] = profile.parameter_bytes;
  fields["buffer_bytes"] = profile.buffer_bytes;
  fields["macs"] = profile.macs;
  fields["is_per_sample"] = profile.is_per_sample;
  fields["scopes"] = scopes;
  return fields;
}

py::dict profile(const Model& model) {
  measure::Profile result;
  {
    const py::gil_scoped_release unlocked;
    result = measure::profile(model);
  }
  return as_dict(result);
}

}  // namespace

void bind_measures(py::module_& module) {
  py::class_<measure::Accuracy>(module, "Accuracy")
      .def(py::init<int64_t>(), py::arg("num_classes"))
      .def("add", &measure::Accuracy::add, py::arg("logits"), py::arg("labels"), Unlocked())
      .def("result", [](const measure::Accuracy& accuracy) { return as_dict(accuracy.result()); });
  module.def("profile", &profile, py::arg("model"));
  module.def("summarize_latency", [](const std::string& name, const std::vector<double>& seconds, int64_t items) {
    return as_dict(measure::summarize(name, seconds, items));
  });
}

}  // namespace limbeck::python
