#include "limbeck/graph/slot_kind.h"

#include <ATen/core/jit_type.h>

#include <algorithm>

namespace limbeck::graph {

const char* argument_kind(const Argument& argument) {
  static constexpr const char* kNames[] = {"None",    "a value",  "an int",   "a float",         "a bool", "a string",
                                           "a dtype", "a device", "a layout", "a memory format", "a list"};
  return kNames[argument.kind.index()];
}

bool fits_slot(const Argument& argument, const c10::Type& type, bool has_fixed_length) {
  const auto holds = [&]<class... T>() { return (std::holds_alternative<T>(argument.kind) || ...); };
  switch (type.kind()) {
    case c10::TypeKind::OptionalType:
      return argument.is_none() || fits_slot(argument, *type.containedType(0), has_fixed_length);
    case c10::TypeKind::TensorType:
    case c10::TypeKind::NumberType:
      return holds.operator()<ValueId, IntExpr, double, bool>();
    case c10::TypeKind::FloatType:
    case c10::TypeKind::SymFloatType:
      return holds.operator()<ValueId, IntExpr, double>();
    case c10::TypeKind::IntType:
    case c10::TypeKind::SymIntType:
    case c10::TypeKind::ScalarTypeType:
    case c10::TypeKind::LayoutType:
    case c10::TypeKind::MemoryFormatType:
      return holds.operator()<ValueId, IntExpr, bool, at::ScalarType, at::Layout, at::MemoryFormat>();
    case c10::TypeKind::BoolType:
    case c10::TypeKind::SymBoolType:
      return holds.operator()<ValueId, bool>();
    case c10::TypeKind::StringType:
      return holds.operator()<std::string>();
    case c10::TypeKind::DeviceObjType:
      return holds.operator()<at::Device>();
    case c10::TypeKind::ListType: {
      const ArgumentList* list = argument.list();
      if (list == nullptr) return has_fixed_length && argument.integer() != nullptr;
      return std::all_of(list->begin(), list->end(),
                         [&](const Argument& element) { return fits_slot(element, *type.containedType(0), false); });
    }
    default:
      return argument.is_none();
  }
}

}  // namespace limbeck::graph
