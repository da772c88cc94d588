#include "python/src/data/data.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "limbeck/core/error.h"
#include "limbeck/core/json/json.h"
#include "limbeck/data/open_dataset.h"
#include "limbeck/data/preprocessing.h"
#include "limbeck/model/model.h"
#include "python/src/bindings.h"
#include "python/src/data/loader.h"
#include "python/src/data/python_dataset.h"
#include "python/src/data/transforms.h"

namespace limbeck::python {

namespace {

std::shared_ptr<data::Dataset> open(const std::string& spec, const std::string& split, int64_t val_size,
                                    const std::optional<std::string>& path) {
  data::OpenOptions options{.split = data::parse_split(split), .val_size = val_size};
  if (path) options.path = *path;
  return std::const_pointer_cast<data::Dataset>(data::open_dataset(spec, options));
}

/// As a sequence of Python's has it: negative indices count from the end, IndexError ends an iteration.
std::pair<at::Tensor, int64_t> item(const data::Dataset& dataset, int64_t index) {
  const int64_t row = index < 0 ? index + dataset.size() : index;
  if (row < 0 || row >= dataset.size())
    throw py::index_error(fmt::format("sample {} of {}, which has {}", index, dataset.name(), dataset.size()));
  const py::gil_scoped_release unlocked;
  const data::Sample sample = dataset.sample(row);
  return {sample.image.clone(), sample.label};
}

py::tuple shape_of(const data::Dataset& dataset) {
  const data::ImageShape shape = dataset.shape();
  return py::make_tuple(shape.channels, shape.height, shape.width);
}

/// Of a list for images of `shape`, as JSON text; -1 stands for sides that vary.
std::string make_preprocessing(const std::vector<AnyTransform>& transforms, const std::vector<int64_t>& shape) {
  LIMBECK_CHECK(shape.size() == 3, "[data] a shape is (channels, height, width), got {} numbers", shape.size());
  return data::to_json(
      data::make_preprocessing(values_of(transforms), {.channels = shape[0], .height = shape[1], .width = shape[2]}));
}

void put_metadata(Model& model, const std::string& key, const std::string& value) {
  graph::Graph graph = model.graph();
  graph.metadata[key] = value;
  model.set_graph(std::move(graph));
}

/// `text` comes from the caller: what is wrong in it is no file's fault.
void put_preprocessing(Model& model, const std::string& text) {
  try {
    put_metadata(model, data::kPreprocessingKey, data::to_json(data::parse_preprocessing(text)));
  } catch (const IoError& error) {
    fail<InvalidArgument>("{}", error.what());
  }
}

void put_labels(Model& model, const std::vector<std::string>& labels) {
  put_metadata(model, graph::kLabelsKey, core::Json::array(labels).dump());
}

void bind_metadata(py::module_& module) {
  module.def("make_preprocessing", &make_preprocessing, py::arg("transforms"), py::arg("shape"));
  module.def("put_preprocessing", &put_preprocessing, py::arg("model"), py::arg("text"));
  module.def("put_labels", &put_labels, py::arg("model"), py::arg("labels"));
  module.attr("PREPROCESSING_KEY") = data::kPreprocessingKey;
  module.attr("LABELS_KEY") = graph::kLabelsKey;
}

}  // namespace

void bind_data(py::module_& module) {
  bind_transforms(module);
  py::class_<data::Dataset, std::shared_ptr<data::Dataset>>(module, "Dataset")
      .def_property_readonly("name", &data::Dataset::name)
      .def_property_readonly("classes", &data::Dataset::class_names)
      .def_property_readonly("shape", &shape_of)
      .def("__len__", &data::Dataset::size)
      .def("__getitem__", &item, py::arg("index"))
      .def("label", &data::Dataset::label, py::arg("index"), Unlocked());
  module.def("open_dataset", &open, py::arg("spec"), py::arg("split"), py::arg("val_size"), py::arg("path"),
             Unlocked());
  module.def("python_dataset", &python_dataset, py::arg("dataset"), py::arg("name"), py::arg("classes"));
  bind_metadata(module);
  bind_loader(module);
}

}  // namespace limbeck::python
