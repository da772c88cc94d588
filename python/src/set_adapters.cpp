#include "python/src/set_adapters.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "limbeck/core/error.h"

namespace limbeck::python {

namespace {

using train::LossClosure;
using train::MemberNotes;
using train::MemberRun;
using train::ParameterGroup;
using train::Precision;
using train::StepSupport;

std::vector<NamedTensor> named_tensors(const py::object& pairs) {
  std::vector<NamedTensor> tensors;
  for (auto& [name, tensor] : pairs.cast<std::vector<std::pair<std::string, at::Tensor>>>())
    tensors.push_back({std::move(name), std::move(tensor)});
  return tensors;
}

class ModuleMember : public train::SetMember {
 public:
  explicit ModuleMember(py::object adapter) : adapter_(std::move(adapter)) {}

  std::string type() const override { return ask<std::string>("type"); }
  std::vector<NamedTensor> parameters() const override { return ask_tensors("parameters"); }
  std::vector<NamedTensor> buffers() const override { return ask_tensors("buffers"); }
  bool is_training() const override { return ask<bool>("is_training"); }
  uint64_t revision() const override { return ask<uint64_t>("revision"); }

  MemberNotes notes(Precision precision) const override {
    const py::gil_scoped_acquire locked;
    const py::tuple notes = adapter_.get().attr("notes")(std::string(train::precision_name(precision)));
    return {.cast = notes[0].cast<std::vector<std::string>>(),
            .fused = notes[1].cast<std::vector<std::string>>(),
            .left = notes[2].cast<std::vector<std::string>>()};
  }

  Outputs run(const Inputs& /*inputs*/, const MemberRun& /*how*/) override {
    fail<InternalError>("[python] a module is run by Python, between enter() and leave()");
  }

 private:
  template <class Result>
  Result ask(const char* question) const {
    const py::gil_scoped_acquire locked;
    return adapter_.get().attr(question)().cast<Result>();
  }

  std::vector<NamedTensor> ask_tensors(const char* question) const {
    const py::gil_scoped_acquire locked;
    return named_tensors(adapter_.get().attr(question)());
  }

  HeldObject adapter_;
};

/// A closure as functions of Python's, which say so when they are called after the step that it was lent to.
class StepClosure {
 public:
  explicit StepClosure(const LossClosure& closure) : closure_(std::make_shared<const LossClosure*>(&closure)) {}
  ~StepClosure() { *closure_ = nullptr; }
  StepClosure(const StepClosure&) = delete;
  StepClosure& operator=(const StepClosure&) = delete;

  /// With the lock held.
  py::object function() const {
    return py::cpp_function([closure = closure_] {
      LIMBECK_CHECK(*closure != nullptr,
                    "[optimize] the closure of a step was called after the step had ended: an optimizer must not keep "
                    "it for later");
      const py::gil_scoped_release unlocked;
      return (**closure)();
    });
  }

 private:
  std::shared_ptr<const LossClosure*> closure_;  // null after the step
};

class PythonOptimizer : public train::OptimizerAdapter {
 public:
  PythonOptimizer(py::object adapter, const void* identity) : adapter_(std::move(adapter)), identity_(identity) {}

  std::string name() const override { return ask<std::string>("name"); }
  const void* identity() const override { return identity_; }
  bool needs_closure() const override { return ask<bool>("needs_closure"); }

  std::vector<ParameterGroup> groups() const override {
    const py::gil_scoped_acquire locked;
    std::vector<ParameterGroup> groups;
    for (const py::handle group : adapter_.get().attr("groups")()) {
      const auto parts = group.cast<std::pair<std::vector<at::Tensor>, double>>();
      groups.push_back({.parameters = parts.first, .names = {}, .lr = parts.second});
    }
    return groups;
  }

  at::Tensor step(const LossClosure& closure) override {
    const StepClosure lent(closure);
    const py::gil_scoped_acquire locked;
    const py::object loss = adapter_.get().attr("step")(closure ? lent.function() : py::none());
    return loss.is_none() ? at::Tensor() : loss.cast<at::Tensor>();
  }

  [[noreturn]] void rethrow_with(const std::string& note) const override {
    try {
      throw;
    } catch (py::error_already_set& error) {  // KeyboardInterrupt stays one
      add_note(error, note);
      throw;
    } catch (const std::exception&) {
      OptimizerAdapter::rethrow_with(note);
    }
  }

  StepSupport support() const override {
    const auto [is_fused, reason] = ask<std::pair<bool, std::string>>("support");
    return {.is_fused = is_fused, .reason = reason};
  }

  std::vector<at::Tensor> state_of(const at::Tensor& parameter) const override {
    const py::gil_scoped_acquire locked;
    return adapter_.get().attr("state_of")(parameter).cast<std::vector<at::Tensor>>();
  }

 private:
  /// As BaseException.add_note, which Python 3.10 does not have.
  static void add_note(const py::error_already_set& error, const std::string& note) {
    const py::gil_scoped_acquire locked;
    const py::object& exception = error.value();
    if (!py::hasattr(exception, "__notes__")) exception.attr("__notes__") = py::list();
    exception.attr("__notes__").attr("append")(note);
  }

  template <class Result>
  Result ask(const char* question) const {
    const py::gil_scoped_acquire locked;
    return adapter_.get().attr(question)().cast<Result>();
  }

  HeldObject adapter_;
  const void* identity_;
};

}  // namespace

std::shared_ptr<train::SetMember> module_member(py::object adapter) {
  return std::make_shared<ModuleMember>(std::move(adapter));
}

std::shared_ptr<train::OptimizerAdapter> optimizer_adapter(py::object adapter, const py::object& optimizer) {
  return std::make_shared<PythonOptimizer>(std::move(adapter), optimizer.ptr());
}

}  // namespace limbeck::python
