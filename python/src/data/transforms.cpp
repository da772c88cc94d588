#include "python/src/data/transforms.h"

#include <string>
#include <utility>
#include <variant>

#include "limbeck/core/error.h"
#include "limbeck/core/json/json.h"
#include "limbeck/data/transforms/options.h"

namespace limbeck::python {

namespace {

/// (name, what it does, [(option, what it means)], the defaults as JSON text) of every transform.
py::list transform_table() {
  py::list rows;
  for (const std::string& name : data::transform_names()) {
    data::Transform transform = data::make_transform(name);
    py::list options;
    for (const data::TransformOption& option : data::options_of(transform))
      options.append(py::make_tuple(option.key, option.help));
    const std::string defaults = data::to_json(transform)[name].dump();
    rows.append(py::make_tuple(name, data::help_of(transform), options, defaults));
  }
  return rows;
}

/// `text`: {"resize": {"size": [256]}}. What is wrong in it came from the caller, not from a file.
AnyTransform make_transform(const std::string& text) {
  const core::Json json = core::parse_json(text, "transform");
  try {
    return {data::parse_transform(core::JsonView(json, "[data] transform"))};
  } catch (const IoError& error) {
    fail<InvalidArgument>("{}", error.what());
  }
}

AnyBatchTransform checked(const data::BatchTransform& transform) {
  data::check(transform);
  return {transform};
}

/// As transforms of samples show themselves.
std::string text_of(const data::BatchTransform& transform) {
  const char* name = std::holds_alternative<data::MixUp>(transform) ? "mixup" : "cutmix";
  const double alpha = std::visit([](const auto& kind) { return kind.alpha; }, transform);
  return core::Json(core::JsonObject{{name, core::JsonObject{{"alpha", alpha}}}}).dump();
}

at::Tensor apply(const std::vector<AnyTransform>& transforms, const at::Tensor& image, uint64_t seed, int64_t epoch,
                 int64_t sample) {
  return data::apply(values_of(transforms), image, {.seed = seed, .epoch = epoch, .sample = sample});
}

}  // namespace

std::vector<data::Transform> values_of(const std::vector<AnyTransform>& transforms) {
  std::vector<data::Transform> values;
  values.reserve(transforms.size());
  for (const AnyTransform& transform : transforms) values.push_back(transform.value);
  return values;
}

std::vector<data::BatchTransform> values_of(const std::vector<AnyBatchTransform>& transforms) {
  std::vector<data::BatchTransform> values;
  values.reserve(transforms.size());
  for (const AnyBatchTransform& transform : transforms) values.push_back(transform.value);
  return values;
}

void bind_transforms(py::module_& module) {
  py::class_<AnyTransform>(module, "Transform")
      .def("json", [](const AnyTransform& transform) { return data::to_json(transform.value).dump(); })
      .def("__repr__", [](const AnyTransform& transform) { return data::to_json(transform.value).dump(); });
  py::class_<AnyBatchTransform>(module, "BatchTransform").def("__repr__", [](const AnyBatchTransform& transform) {
    return text_of(transform.value);
  });
  module.def("transform_table", &transform_table);
  module.def("make_transform", &make_transform, py::arg("text"));
  module.def("mixup", [](double alpha) { return checked(data::MixUp{.alpha = alpha}); });
  module.def("cutmix", [](double alpha) { return checked(data::CutMix{.alpha = alpha}); });
  module.def("apply_transforms", &apply, py::arg("transforms"), py::arg("image"), py::arg("seed"), py::arg("epoch"),
             py::arg("sample"), Unlocked());
}

}  // namespace limbeck::python
