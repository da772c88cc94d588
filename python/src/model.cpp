#include "limbeck/model/model.h"

#include <utility>

#include "limbeck/core/error.h"
#include "limbeck/graph/capture/capture.h"
#include "limbeck/graph/text/text.h"
#include "limbeck/load/load.h"
#include "limbeck/model/modes.h"
#include "python/src/bindings.h"
#include "python/src/outputs.h"

namespace limbeck::python {

namespace {

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

Model load_model(const std::string& what, const std::string& train, const std::string& weights, uint64_t seed) {
  return load(what, {.train = train, .capture = {}, .seed = seed, .weights = weights});
}

Model capture_model(const std::string& path, bool free_batch) {
  return Model(capture::capture(path, {.model = {}, .mode = std::nullopt, .free_batch = free_batch}));
}

/// (name, tensor, is a buffer, is persistent) of every entry of the name table, tied ones too.
py::list table_of(const Model& model) {
  py::list entries;
  for (const graph::Parameter& entry : model.graph().parameters())
    entries.append(py::make_tuple(entry.name, entry.tensor, entry.is_buffer, entry.is_persistent));
  return entries;
}

/// Puts the given tensors, not copies of them, under these names.
void set_tensors(Model& model, const NamedTensors& tensors) {
  graph::Graph graph = model.graph();
  for (const auto& [name, tensor] : tensors) graph.set_parameter_tensor(name, tensor);
  model.set_graph(std::move(graph));
}

py::list scopes_of(const Model& model) {
  py::list scopes;
  for (const graph::Scope& scope : model.graph().scopes()) scopes.append(py::make_tuple(scope.path, scope.type));
  return scopes;
}

/// (kind, class, keys, children), children being trees themselves.
py::tuple as_tuple(const graph::TreeSpec& tree) {
  py::tuple children(tree.children.size());
  for (std::size_t i = 0; i < tree.children.size(); ++i) children[i] = as_tuple(tree.children[i]);
  return py::make_tuple(tree.kind, tree.type, tree.keys, children);
}

py::list input_names_of(const Model& model) {
  py::list names;
  for (const graph::InputSpec& input : model.graph().inputs) names.append(input.name);
  return names;
}

py::list assumptions_of(const Model& model) {
  py::list texts;
  for (const graph::Assumption& assumption : model.graph().assumptions)
    texts.append(py::make_tuple(std::string(graph::mode_name(assumption.when)), assumption.text));
  return texts;
}

/// Modes of scopes, the root's first, parents before children.
void set_modes(Model& model, const std::vector<std::pair<std::string, bool>>& modes) {
  for (const auto& [scope, is_training] : modes) {
    if (scope.empty()) {
      model.train(is_training);
    } else {
      model.train(scope, is_training);
    }
  }
}

Inputs as_inputs(const NamedTensors& given) {
  std::vector<NamedTensor> tensors;
  for (const auto& [name, tensor] : given) tensors.push_back({name, tensor});
  return {std::move(tensors)};
}

py::tuple forward(Model& model, const NamedTensors& given, const std::vector<std::string>& taps, bool fuses) {
  Outputs outputs;
  {
    const py::gil_scoped_release unlocked;
    const Fusion fusion = fuses ? Fusion::training : Fusion::none;
    outputs = model.forward(as_inputs(given), {.taps = taps, .fusion = fusion});
  }
  return as_lists(outputs);
}

void replace_head(Model& model, const std::string& scope, int64_t classes, uint64_t seed) {
  model.replace_head(scope, {.classes = classes, .seed = seed});
}

std::string summary_of(const Model& model) {
  const auto& metadata = model.graph().metadata;
  const auto name = metadata.find(capture::kNameKey);
  return name == metadata.end() ? std::string() : name->second;
}

}  // namespace

void bind_model(py::module_& module) {
  py::class_<Model>(module, "Model")
      .def("table", &table_of)
      .def("set_tensors", &set_tensors, py::arg("tensors"))
      .def("scopes", &scopes_of)
      .def("input_names", &input_names_of)
      .def("input_tree", [](const Model& model) { return as_tuple(model.graph().input_tree); })
      .def("output_tree",
           [](const Model& model, bool is_training) {
             return as_tuple(model.graph().output_tree(is_training ? graph::Mode::train : graph::Mode::eval));
           })
      .def("class_name", &summary_of)
      .def("metadata", [](const Model& model) { return model.graph().metadata; })
      .def("assumptions", &assumptions_of)
      .def("accept", [](Model& model, const std::string& modes) { model.accept_assumptions(parse_modes(modes)); })
      .def("set_modes", &set_modes, py::arg("modes"))
      .def("forward", &forward, py::arg("inputs"), py::arg("taps"), py::arg("fuses"))
      .def(
          "to_device", [](Model& model, at::Device device) { model.to(device); }, Unlocked())
      .def(
          "to_dtype", [](Model& model, at::ScalarType dtype) { model.to(dtype); }, Unlocked())
      .def(
          "to_memory_format", [](Model& model, at::MemoryFormat format) { model.to(format); }, Unlocked())
      .def("replace_head", &replace_head, py::arg("scope"), py::arg("classes"), py::arg("seed"))
      .def("parameter_names",
           [](const Model& model, const std::string& pattern) {
             std::vector<std::string> names;
             for (const NamedTensor& parameter : model.named_parameters(pattern)) names.push_back(parameter.name);
             return names;
           })
      .def("clone", &Model::clone, Unlocked())
      .def("text", [](const Model& model) { return graph::print(model.graph()); })
      .def("save", &Model::save, py::arg("path"), Unlocked());
  module.def("load", &load_model, py::arg("what"), py::arg("train"), py::arg("weights"), py::arg("seed"), Unlocked());
  module.def("capture", &capture_model, py::arg("path"), py::arg("free_batch"), Unlocked());
}

}  // namespace limbeck::python
