// lb.run: whole recipes, as the command line tool runs them.
#include <optional>
#include <string>
#include <utility>

#include "limbeck/recipe/trials.h"
#include "python/src/bindings.h"
#include "python/src/hooks.h"
#include "python/src/keywords.h"

namespace limbeck::python {

namespace {

/// What a call of lb.run hands over. A recipe is a file, or the top-level keys of one as JSON text.
struct RecipeCall {
  std::string path;  // empty: the keys alone
  Keywords keys;
  Keywords overrides{};  // paths as --set has them, with their values as JSON text
  py::object hooks = py::none();
  std::shared_ptr<HeldObject> on_note{};  // (stage, line); null: nobody asks
  double checkpoint_seconds = 30;
  int64_t checkpoint_steps = 0;
};

recipe::TrialPlan read(const RecipeCall& call) {
  recipe::Overrides overrides;
  for (const auto& [key, value] : call.keys) overrides.push_back({key, value, "recipe: " + key});
  for (const auto& [path, value] : call.overrides) overrides.push_back({path, value, "overrides: " + path});
  return call.path.empty() ? recipe::parse_trials("{}", "recipe", overrides)
                           : recipe::read_trials(call.path, overrides);
}

recipe::RunEvents events_of(const RecipeCall& call, PythonHooks& hooks) {
  recipe::RunEvents events{
      .on_stage_begin =
          [&hooks](const recipe::StageTitle& title) {
            hooks.set_place({.stage = title.name, .trial = title.trial});
            hooks.poll();
          },
      .on_training = [&hooks](const recipe::StageTitle&, const train::ProgressEvent&) { hooks.poll(); },
      .on_counting = [&hooks](const recipe::StageTitle&, const std::string&, int64_t, int64_t) { hooks.poll(); }};
  if (call.on_note != nullptr) {
    events.on_note = [on_note = call.on_note](const recipe::StageTitle& title, const std::string& line) {
      const py::gil_scoped_acquire locked;
      on_note->get()(title.name, line);
    };
  }
  return events;
}

/// The report as JSON text; nothing when a hook stopped it.
std::optional<std::string> run(const RecipeCall& call) {
  PythonHooks hooks(call.hooks);
  std::optional<std::string> report;
  {
    const py::gil_scoped_release unlocked;
    const recipe::TrialPlan plan = read(call);
    const recipe::RunControl control{.stop = hooks.stop(),
                                     .checkpoint_seconds = call.checkpoint_seconds,
                                     .checkpoint_steps = call.checkpoint_steps,
                                     .events = events_of(call, hooks),
                                     .hooks = hooks.functions()};
    if (plan.trials.empty()) {
      const recipe::RunResult result = recipe::run(plan.recipe, control);
      if (result.completed) report = result.report.dump();
    } else {
      const recipe::TrialsResult result = recipe::run_trials(plan, control);
      if (result.completed) report = result.report.dump();
    }
  }
  hooks.raise_pending();
  return report;
}

/// What run would do, as JSON text: of the first of several runs.
std::string plan(const RecipeCall& call) {
  const recipe::TrialPlan plan = read(call);
  return recipe::plan(plan.trials.empty() ? plan.recipe : plan.trials.front().recipe).dump();
}

}  // namespace

void bind_recipes(py::module_& module) {
  py::class_<RecipeCall>(module, "RecipeCall")
      .def(py::init([](std::string path, Keywords keys, Keywords overrides) {
             return RecipeCall{.path = std::move(path), .keys = std::move(keys), .overrides = std::move(overrides)};
           }),
           py::arg("path"), py::arg("keys"), py::arg("overrides"))
      .def_readwrite("hooks", &RecipeCall::hooks)
      .def("set_on_note", [](RecipeCall& call,
                             py::object on_note) { call.on_note = std::make_shared<HeldObject>(std::move(on_note)); })
      .def_readwrite("checkpoint_seconds", &RecipeCall::checkpoint_seconds)
      .def_readwrite("checkpoint_steps", &RecipeCall::checkpoint_steps)
      .def("run", &run)
      .def("plan", &plan, Unlocked());
}

}  // namespace limbeck::python
