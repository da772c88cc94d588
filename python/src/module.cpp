#include "python/src/bindings.h"
#include "python/src/data/data.h"

PYBIND11_MODULE(_core, module) {
  using namespace limbeck::python;
  module.doc() = "The C++ side of limbeck. Use the package limbeck, which has what is here in its proper form.";
  register_errors();
  bind_model(module);
  bind_losses(module);
  bind_measures(module);
  bind_update_rules(module);
  bind_set(module);
  bind_data(module);
  bind_fit(module);
  bind_recipes(module);
}
