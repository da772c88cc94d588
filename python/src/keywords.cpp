#include "python/src/keywords.h"

#include "limbeck/recipe/read.h"

namespace limbeck::python {

void read_keywords(const std::string& function, const Keywords& keywords, const recipe::Fields::Describe& describe) {
  recipe::YamlDocument document = recipe::parse_yaml("{}", "");
  for (const auto& [name, value] : keywords) recipe::set_yaml(document, name, value, function);
  recipe::read_fields(document, document.root, describe);
}

}  // namespace limbeck::python
