#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "limbeck/core/error.h"
#include "limbeck/core/json/json.h"
#include "limbeck/train/optimize.h"
#include "python/src/bindings.h"
#include "python/src/outputs.h"
#include "python/src/set_adapters.h"

namespace limbeck::python {

namespace {

using train::LossClosure;
using train::MemberRef;
using train::ModelSet;
using train::OptimizerRef;
using train::RetainGraph;
using train::RoleScope;
using train::SetModel;
using train::SetOptions;
using train::SetReport;
using train::SetStep;

/// A run of a member, from enter() to close(): a context manager of Python's. Closed by the thread that opened it.
class OpenRun {
 public:
  OpenRun(ModelSet& set, const std::string& name, const std::vector<at::Tensor>& inputs)
      : scope_(new RoleScope(set.enter(name, inputs))) {}

  bool is_training() const { return scope_->run().mode == graph::Mode::train; }
  bool writes_buffers() const { return scope_->run().state_updates == StateUpdates::apply; }
  void close() { scope_.reset(); }

 private:
  std::unique_ptr<RoleScope> scope_;
};

/// (name, limbeck Model or adapter of a module, role or "").
using PythonModel = std::tuple<std::string, py::object, std::string>;

std::vector<SetModel> as_models(const std::vector<PythonModel>& given) {
  std::vector<SetModel> models;
  models.reserve(given.size());
  for (const auto& [name, object, role] : given) {
    const bool is_graph = py::isinstance<Model>(object);
    models.push_back({.name = name,
                      .model = is_graph ? MemberRef(object.cast<Model&>()) : MemberRef(module_member(object)),
                      .role = role.empty() ? std::nullopt : std::optional(train::parse_role(role))});
  }
  return models;
}

/// Pairs of an adapter and the user's optimizer.
std::vector<OptimizerRef> as_optimizers(const std::vector<std::pair<py::object, py::object>>& given) {
  std::vector<OptimizerRef> optimizers;
  optimizers.reserve(given.size());
  for (const auto& [adapter, optimizer] : given) optimizers.emplace_back(optimizer_adapter(adapter, optimizer));
  return optimizers;
}

std::unique_ptr<ModelSet> make_set(const std::vector<PythonModel>& models,
                                   const std::vector<std::pair<py::object, py::object>>& optimizers,
                                   const std::string& precision, double clip_norm, int64_t accumulate) {
  std::vector<SetModel> members = as_models(models);
  std::vector<OptimizerRef> references = as_optimizers(optimizers);
  const SetOptions options{.clip_norm = clip_norm, .accumulate = accumulate, .scaler = {}};
  const py::gil_scoped_release unlocked;
  return std::make_unique<ModelSet>(std::move(members), std::move(references), train::parse_precision(precision),
                                    options);
}

py::tuple forward(ModelSet& set, const std::string& name, const std::vector<std::pair<std::string, at::Tensor>>& given,
                  const std::vector<std::string>& taps) {
  Outputs outputs;
  {
    const py::gil_scoped_release unlocked;
    std::vector<NamedTensor> inputs;
    inputs.reserve(given.size());
    for (const auto& [input, tensor] : given) inputs.push_back({input, tensor});
    outputs = set.forward(name, inputs, {.taps = taps});
  }
  return as_lists(outputs);
}

py::tuple as_tuple(const SetStep& step) { return py::make_tuple(step.is_updated, step.is_skipped, step.grad_norm); }

/// `closure` is Python's, or None.
py::tuple step(ModelSet& set, const py::object& closure) {
  SetStep result;
  if (closure.is_none()) {
    const py::gil_scoped_release unlocked;
    result = set.step();
  } else {
    const LossClosure call = [&closure] {
      const py::gil_scoped_acquire locked;
      const py::object loss = closure();
      return loss.is_none() ? at::Tensor() : loss.cast<at::Tensor>();
    };
    const py::gil_scoped_release unlocked;
    result = set.step(call);
  }
  return as_tuple(result);
}

/// Of one optimizer, told by an adapter of it and the user's object.
py::tuple step_alone(ModelSet& set, const std::pair<py::object, py::object>& given) {
  const OptimizerRef optimizer(optimizer_adapter(given.first, given.second));
  SetStep result;
  {
    const py::gil_scoped_release unlocked;
    result = set.step(optimizer);
  }
  return as_tuple(result);
}

py::tuple finish(ModelSet& set) {
  SetStep result;
  {
    const py::gil_scoped_release unlocked;
    result = set.finish_accumulation();
  }
  return as_tuple(result);
}

/// (text, JSON text).
std::pair<std::string, std::string> report_of(const ModelSet& set) {
  const SetReport report = set.report();
  return {report.text(), report.json().dump()};
}

}  // namespace

void bind_set(py::module_& module) {
  py::class_<OpenRun>(module, "OpenRun")
      .def("is_training", &OpenRun::is_training)
      .def("writes_buffers", &OpenRun::writes_buffers)
      .def("close", &OpenRun::close);
  py::class_<ModelSet>(module, "ModelSet")
      .def(py::init(&make_set), py::arg("models"), py::arg("optimizers"), py::arg("precision"), py::arg("clip_norm"),
           py::arg("accumulate"))
      .def("forward", &forward, py::arg("name"), py::arg("inputs"), py::arg("taps"))
      .def(
          "enter",
          [](ModelSet& set, const std::string& name, const std::vector<at::Tensor>& inputs) {
            return std::make_unique<OpenRun>(set, name, inputs);
          },
          py::arg("name"), py::arg("inputs"), py::keep_alive<0, 1>(), Unlocked())
      .def(
          "backward",
          [](ModelSet& set, const at::Tensor& loss, bool retains_graph) {
            set.backward(loss, retains_graph ? RetainGraph::yes : RetainGraph::no);
          },
          py::arg("loss"), py::arg("retain_graph"), Unlocked())
      .def("step", &step, py::arg("closure"))
      .def("finish_accumulation", &finish)
      .def("zero_grad", py::overload_cast<>(&ModelSet::zero_grad), Unlocked())
      .def("step_alone", &step_alone, py::arg("optimizer"))
      .def(
          "zero_grad_of",
          [](ModelSet& set, const std::pair<py::object, py::object>& given) {
            set.zero_grad(OptimizerRef(optimizer_adapter(given.first, given.second)));
          },
          py::arg("optimizer"))
      .def("update_scale", &ModelSet::update_scale, Unlocked())
      .def("role", [](const ModelSet& set, const std::string& name) { return set.role(name).to_string(); })
      .def("report", &report_of, Unlocked())
      .def("scaler_state",
           [](ModelSet& set) -> std::optional<std::string> {
             if (set.scaler() == nullptr) return std::nullopt;
             return set.scaler()->state().dump();
           })
      .def("load_scaler_state", [](ModelSet& set, const std::string& text) {
        LIMBECK_CHECK(set.scaler() != nullptr, "[optimize] only a set in fp16 has a loss scale");
        set.scaler()->load_state(core::parse_json(text, "loss scaler"));
      });
}

}  // namespace limbeck::python
