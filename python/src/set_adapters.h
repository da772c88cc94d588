// torch.nn.Modules and torch.optim's optimizers of Python as members of a set.
#pragma once

#include <memory>

#include "limbeck/train/sets/optimizer_ref.h"
#include "limbeck/train/sets/set_member.h"
#include "python/src/held_object.h"

namespace limbeck::python {

/// `adapter` answers type(), parameters(), buffers(), is_training(), revision() and notes(precision); the run itself is
/// Python's, between ModelSet::enter() and its end.
std::shared_ptr<train::SetMember> module_member(py::object adapter);

/// `adapter` answers name(), groups(), needs_closure(), step(closure), support() and state_of(parameter); `optimizer`
/// is the user's object.
std::shared_ptr<train::OptimizerAdapter> optimizer_adapter(py::object adapter, const py::object& optimizer);

}  // namespace limbeck::python
