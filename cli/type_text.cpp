#include "cli/type_text.h"

#include <fmt/ranges.h>

#include "limbeck/graph/text/words.h"

namespace limbeck::cli {

namespace {

std::string tensor_text(const graph::TensorType& type) {
  if (!type.sizes) return fmt::format("{}[...]", graph::dtype_word(type.dtype));
  std::vector<std::string> sizes;
  for (const graph::IntExpr& size : *type.sizes) sizes.push_back(size.to_string());
  return fmt::format("{}[{}]", graph::dtype_word(type.dtype), fmt::join(sizes, ", "));
}

}  // namespace

std::string type_text(const graph::Type& type) {
  if (const graph::TensorType* tensor = type.tensor()) return tensor_text(*tensor);
  if (const auto* integer = std::get_if<graph::IntType>(&type.kind))
    return fmt::format("int({})", integer->expr.to_string());
  if (std::holds_alternative<graph::FloatType>(type.kind)) return "float";
  if (std::holds_alternative<graph::BoolType>(type.kind)) return "bool";
  if (const graph::ListType* list = type.list()) {
    std::vector<std::string> elements;
    for (const graph::Type& element : list->elements) elements.push_back(type_text(element));
    return fmt::format("list({})", fmt::join(elements, ", "));
  }
  return "none";
}

}  // namespace limbeck::cli
