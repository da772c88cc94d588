#include "limbeck/train/optim/update_rules.h"

#include <ATen/ATen.h>

#include <optional>
#include <string>
#include <vector>

#include "limbeck/core/error.h"
#include "limbeck/train/optim/optimizer_state.h"
#include "python/src/bindings.h"

namespace limbeck::python {

namespace {

using train::AdagradRule;
using train::AdagradTensors;
using train::AdamDecay;
using train::AdamRule;
using train::AdamTensors;
using train::Adaptation;
using train::LambRule;
using train::LambTensors;
using train::LarsRule;
using train::LarsTensors;
using train::SgdRule;
using train::SgdTensors;

using Tensors = std::vector<at::Tensor>;
using MaybeTensors = std::vector<std::optional<at::Tensor>>;

at::Tensor at_or_undefined(const MaybeTensors& tensors, std::size_t i) { return tensors[i].value_or(at::Tensor()); }

/// torch.optim keeps the number of updates as a 0-dim floating-point tensor on the CPU.
int64_t read_step(const at::Tensor& step) {
  LIMBECK_CHECK(step.numel() == 1 && step.device().is_cpu(),
                "[optimizer] a step count must be one number on the CPU, got {} on {}", step.numel(),
                step.device().str());
  const double number = step.scalar_type() == at::kFloat ? *step.const_data_ptr<float>() : step.item().toDouble();
  const std::optional<int64_t> updates = train::update_count(number);
  LIMBECK_CHECK(updates, "[optimizer] a step count must be a number of updates, got {}", number);
  return *updates;
}

void write_step(at::Tensor& step, int64_t value) {
  if (step.scalar_type() == at::kFloat) {
    *step.mutable_data_ptr<float>() = static_cast<float>(value);
  } else {
    step.fill_(value);
  }
}

std::string adaptation_name(Adaptation adaptation) { return adaptation == Adaptation::all ? "all" : "matrices"; }

Adaptation parse_adaptation(const std::string& name) {
  for (const Adaptation adaptation : {Adaptation::all, Adaptation::matrices}) {
    if (name == adaptation_name(adaptation)) return adaptation;
  }
  fail<InvalidArgument>("[optimizer] adaptation must be 'all' or 'matrices', got '{}'", name);
}

/// Returns the momentum buffers, new where there were none.
Tensors step_sgd(const Tensors& parameters, const Tensors& gradients, const MaybeTensors& buffers,
                 const SgdRule& rule) {
  std::vector<SgdTensors> tensors;
  for (std::size_t i = 0; i < parameters.size(); ++i)
    tensors.push_back({parameters[i], gradients[i], at_or_undefined(buffers, i)});
  sgd_step(tensors, rule);
  Tensors made;
  for (SgdTensors& entry : tensors) made.push_back(std::move(entry.momentum_buffer));
  return made;
}

void step_adam(const Tensors& parameters, const Tensors& gradients, const Tensors& averages, const Tensors& squares,
               const MaybeTensors& largest, Tensors steps, const AdamRule& rule) {
  std::vector<AdamTensors> tensors;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    tensors.push_back(
        {parameters[i], gradients[i], averages[i], squares[i], at_or_undefined(largest, i), read_step(steps[i])});
  }
  adam_step(tensors, rule);
  for (std::size_t i = 0; i < tensors.size(); ++i) write_step(steps[i], tensors[i].step);
}

void step_adagrad(const Tensors& parameters, const Tensors& gradients, const Tensors& sums, Tensors steps,
                  const AdagradRule& rule) {
  std::vector<AdagradTensors> tensors;
  for (std::size_t i = 0; i < parameters.size(); ++i)
    tensors.push_back({parameters[i], gradients[i], sums[i], read_step(steps[i])});
  adagrad_step(tensors, rule);
  for (std::size_t i = 0; i < tensors.size(); ++i) write_step(steps[i], tensors[i].step);
}

void step_lamb(const Tensors& parameters, const Tensors& gradients, const Tensors& averages, const Tensors& squares,
               Tensors steps, const LambRule& rule) {
  std::vector<LambTensors> tensors;
  for (std::size_t i = 0; i < parameters.size(); ++i)
    tensors.push_back({parameters[i], gradients[i], averages[i], squares[i], read_step(steps[i])});
  lamb_step(tensors, rule);
  for (std::size_t i = 0; i < tensors.size(); ++i) write_step(steps[i], tensors[i].step);
}

Tensors step_lars(const Tensors& parameters, const Tensors& gradients, const MaybeTensors& buffers,
                  const LarsRule& rule) {
  std::vector<LarsTensors> tensors;
  for (std::size_t i = 0; i < parameters.size(); ++i)
    tensors.push_back({parameters[i], gradients[i], at_or_undefined(buffers, i)});
  lars_step(tensors, rule);
  Tensors made;
  for (LarsTensors& entry : tensors) made.push_back(std::move(entry.momentum_buffer));
  return made;
}

/// A rule from keywords: py::init with a designated initialiser for each field would repeat the header.
template <class Rule>
py::class_<Rule> bind_rule(py::module_& module, const char* name) {
  return py::class_<Rule>(module, name).def(py::init<>()).def("validate", &Rule::validate);
}

void bind_sgd(py::module_& module) {
  bind_rule<SgdRule>(module, "SgdRule")
      .def_readwrite("lr", &SgdRule::lr)
      .def_readwrite("momentum", &SgdRule::momentum)
      .def_readwrite("dampening", &SgdRule::dampening)
      .def_readwrite("weight_decay", &SgdRule::weight_decay)
      .def_readwrite("nesterov", &SgdRule::nesterov)
      .def_readwrite("maximize", &SgdRule::maximize);
  module.def("sgd_step", &step_sgd, py::arg("parameters"), py::arg("gradients"), py::arg("buffers"), py::arg("rule"),
             Unlocked());
}

void bind_adam(py::module_& module) {
  bind_rule<AdamRule>(module, "AdamRule")
      .def_readwrite("lr", &AdamRule::lr)
      .def_readwrite("beta1", &AdamRule::beta1)
      .def_readwrite("beta2", &AdamRule::beta2)
      .def_readwrite("eps", &AdamRule::eps)
      .def_readwrite("weight_decay", &AdamRule::weight_decay)
      .def_property(
          "is_decoupled", [](const AdamRule& rule) { return rule.decay == AdamDecay::decoupled; },
          [](AdamRule& rule, bool is_decoupled) { rule.decay = is_decoupled ? AdamDecay::decoupled : AdamDecay::l2; })
      .def_readwrite("amsgrad", &AdamRule::amsgrad)
      .def_readwrite("maximize", &AdamRule::maximize);
  module.def("adam_step", &step_adam, py::arg("parameters"), py::arg("gradients"), py::arg("averages"),
             py::arg("squares"), py::arg("largest"), py::arg("steps"), py::arg("rule"), Unlocked());
}

void bind_adagrad(py::module_& module) {
  bind_rule<AdagradRule>(module, "AdagradRule")
      .def_readwrite("lr", &AdagradRule::lr)
      .def_readwrite("lr_decay", &AdagradRule::lr_decay)
      .def_readwrite("weight_decay", &AdagradRule::weight_decay)
      .def_readwrite("eps", &AdagradRule::eps)
      .def_readwrite("maximize", &AdagradRule::maximize);
  module.def("adagrad_step", &step_adagrad, py::arg("parameters"), py::arg("gradients"), py::arg("sums"),
             py::arg("steps"), py::arg("rule"), Unlocked());
}

void bind_lamb(py::module_& module) {
  bind_rule<LambRule>(module, "LambRule")
      .def_readwrite("lr", &LambRule::lr)
      .def_readwrite("beta1", &LambRule::beta1)
      .def_readwrite("beta2", &LambRule::beta2)
      .def_readwrite("eps", &LambRule::eps)
      .def_readwrite("weight_decay", &LambRule::weight_decay)
      .def_property(
          "adaptation", [](const LambRule& rule) { return adaptation_name(rule.adaptation); },
          [](LambRule& rule, const std::string& name) { rule.adaptation = parse_adaptation(name); })
      .def_readwrite("maximize", &LambRule::maximize);
  module.def("lamb_step", &step_lamb, py::arg("parameters"), py::arg("gradients"), py::arg("averages"),
             py::arg("squares"), py::arg("steps"), py::arg("rule"), Unlocked());
}

void bind_lars(py::module_& module) {
  bind_rule<LarsRule>(module, "LarsRule")
      .def_readwrite("lr", &LarsRule::lr)
      .def_readwrite("momentum", &LarsRule::momentum)
      .def_readwrite("weight_decay", &LarsRule::weight_decay)
      .def_readwrite("trust_coefficient", &LarsRule::trust_coefficient)
      .def_property(
          "adaptation", [](const LarsRule& rule) { return adaptation_name(rule.adaptation); },
          [](LarsRule& rule, const std::string& name) { rule.adaptation = parse_adaptation(name); })
      .def_readwrite("maximize", &LarsRule::maximize);
  module.def("lars_step", &step_lars, py::arg("parameters"), py::arg("gradients"), py::arg("buffers"), py::arg("rule"),
             Unlocked());
}

}  // namespace

void bind_update_rules(py::module_& module) {
  bind_sgd(module);
  bind_adam(module);
  bind_adagrad(module);
  bind_lamb(module);
  bind_lars(module);
}

}  // namespace limbeck::python
