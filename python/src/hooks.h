// What a training in C++ asks of Python: the user's hooks, and between two steps whether Ctrl-C was pressed.
#pragma once

#include <exception>
#include <string>
#include <utility>

#include "limbeck/core/stop.h"
#include "limbeck/train/trainer.h"
#include "python/src/held_object.h"

namespace limbeck::python {

/// A report as keyword arguments of the class that Python shows it by. With the lock held.
py::dict as_dict(const train::StepReport& report);
py::dict as_dict(const train::EpochSummary& summary);

/// Which training of a recipe: the stage's name, and of several runs the run's.
struct TrainingPlace {
  std::string stage, trial;
};

/// `hooks` answers on_step(**report) and on_epoch(**summary), each with `stage` and `trial` beside it, with whether the
/// training should stop; None: there are none.
class PythonHooks {
 public:
  explicit PythonHooks(py::object hooks) : hooks_(std::move(hooks)) {}

  /// What the trainings from now on are called.
  void set_place(TrainingPlace place) { place_ = std::move(place); }
  /// Valid as long as this object. What a hook raises passes through the training as it is.
  train::Hooks functions();
  /// Raised by poll().
  const core::StopFlag* stop() const { return &stop_; }
  /// Runs Python's signal handlers, in the main thread alone. What they raise ends the training at its next safe place,
  /// after a checkpoint; raise_pending() then goes on with it. To be called without the lock.
  void poll();
  /// With the lock held, after the training.
  void raise_pending() const;

 private:
  /// The report with its training's place beside it.
  py::dict placed(py::dict report) const;
  train::AfterHook ask(const char* what, const py::dict& report) const;

  HeldObject hooks_;
  TrainingPlace place_{};
  core::StopFlag stop_;
  std::exception_ptr pending_;
};

}  // namespace limbeck::python
