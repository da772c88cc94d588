#include "python/src/hooks.h"

namespace limbeck::python {

py::dict as_dict(const train::StepReport& report) {
  py::dict fields;
  fields["epoch"] = report.epoch;
  fields["step"] = report.step;
  fields["loss"] = report.loss;
  fields["grad_norm"] = report.grad_norm;
  fields["lr"] = report.lr;
  fields["samples"] = report.samples;
  fields["seconds"] = report.seconds;
  fields["is_skipped"] = report.is_skipped;
  return fields;
}

py::dict as_dict(const train::EpochSummary& summary) {
  py::dict fields;
  fields["epoch"] = summary.epoch;
  fields["loss"] = summary.loss;
  fields["train_accuracy"] = summary.train_accuracy;
  fields["val_accuracy"] = summary.val_accuracy;
  fields["val_loss"] = summary.val_loss;
  fields["averaged_val_accuracy"] = summary.averaged ? py::cast(summary.averaged->accuracy) : py::none();
  fields["averaged_val_loss"] = summary.averaged ? py::cast(summary.averaged->loss) : py::none();
  fields["seconds"] = summary.seconds;
  return fields;
}

py::dict PythonHooks::placed(py::dict report) const {
  report["stage"] = place_.stage;
  report["trial"] = place_.trial;
  return report;
}

train::AfterHook PythonHooks::ask(const char* what, const py::dict& report) const {
  return hooks_.get().attr(what)(**report).cast<bool>() ? train::AfterHook::stop : train::AfterHook::go_on;
}

train::Hooks PythonHooks::functions() {
  if (hooks_.get().is_none()) return {};  // a look that needs no lock
  return {.on_step =
              [this](const train::StepReport& report) {
                const py::gil_scoped_acquire locked;
                return ask("on_step", placed(as_dict(report)));
              },
          .on_epoch =
              [this](const train::EpochSummary& summary) {
                const py::gil_scoped_acquire locked;
                return ask("on_epoch", placed(as_dict(summary)));
              }};
}

void PythonHooks::poll() {
  if (pending_) return;
  const py::gil_scoped_acquire locked;
  if (PyErr_CheckSignals() == 0) return;
  pending_ = std::make_exception_ptr(py::error_already_set());
  stop_.request();
}

void PythonHooks::raise_pending() const {
  if (pending_) std::rethrow_exception(pending_);
}

}  // namespace limbeck::python
