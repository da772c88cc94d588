#include "python/src/bindings.h"
#include "python/src/data/data.h"

PYBIND11_MODULE(_core, module) {
  namespace own = limbeck::python;
  module.doc() = "The C++ side of limbeck. Use the package limbeck, which has what is here in its proper form.";
  own::register_errors();
  own::bind_model(module);
  own::bind_losses(module);
  own::bind_measures(module);
  own::bind_update_rules(module);
  own::bind_set(module);
  own::bind_data(module);
  own::bind_fit(module);
  own::bind_recipes(module);
}
