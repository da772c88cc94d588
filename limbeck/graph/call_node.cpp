#include "limbeck/graph/call_node.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/record_function.h>

#include <algorithm>
#include <mutex>
#include <unordered_map>

#include "limbeck/core/error.h"
#include "limbeck/graph/dispatcher_entry.h"
#include "limbeck/graph/slot_kind.h"

namespace limbeck::graph {

namespace {

/// Splits "aten::add.Tensor" into the op's name and its overload.
c10::OperatorName operator_name(std::string_view name) {
  const std::size_t dot = name.find('.', name.find("::") == std::string_view::npos ? 0 : name.find("::"));
  if (dot == std::string_view::npos) return {std::string(name), ""};
  return {std::string(name.substr(0, dot)), std::string(name.substr(dot + 1))};
}

/// Boxes arguments of one op; holds what is the same for all slots.
class Boxer {
 public:
  Boxer(const OpInfo& op, const std::function<const c10::IValue&(ValueId)>& value_of, const Bindings& bindings)
      : op_(op), value_of_(value_of), bindings_(bindings) {}

  c10::IValue box(std::size_t slot, const Argument& argument) const {
    const c10::Argument& formal = op_.schema->arguments()[slot];
    return box_as(*formal.real_type(), argument, formal);
  }

 private:
  [[noreturn]] void refuse(const Argument& argument, const c10::Argument& formal) const {
    fail<InvalidArgument>("[graph] argument '{}' of {} must be {}, got {}", formal.name(), op_.name,
                          formal.real_type()->str(), argument_kind(argument));
  }

  c10::IValue box_as(const c10::Type& type, const Argument& argument, const c10::Argument& formal) const {
    if (type.kind() == c10::TypeKind::OptionalType) {
      if (argument.is_none()) return {};
      return box_as(*type.containedType(0), argument, formal);
    }
    if (const ValueId* value = argument.value()) return convert(type, value_of_(*value));
    if (const ArgumentList* list = argument.list()) return box_list(type, *list, argument, formal);
    return box_constant(type, argument, formal);
  }

  /// A run's value as the slot wants it: sizes that are values arrive as ints, tensors as they are.
  static c10::IValue convert(const c10::Type& type, const c10::IValue& value) {
    if (type.kind() == c10::TypeKind::TensorType && value.isScalar()) return wrapped_number(value.toScalar());
    if (type.kind() == c10::TypeKind::FloatType && value.isInt()) return static_cast<double>(value.toInt());
    return value;
  }

  static c10::IValue wrapped_number(const c10::Scalar& number) {
    at::Tensor tensor = at::scalar_tensor(number, at::TensorOptions().dtype(number.type()));
    tensor.unsafeGetTensorImpl()->set_wrapped_number(true);
    return tensor;
  }

  c10::IValue box_constant(const c10::Type& type, const Argument& argument, const c10::Argument& formal) const {
    switch (type.kind()) {
      case c10::TypeKind::TensorType:
        return wrapped_number(number(argument, formal));
      case c10::TypeKind::NumberType:
        return number(argument, formal);
      case c10::TypeKind::FloatType:
        return number(argument, formal).toDouble();
      case c10::TypeKind::IntType:
      case c10::TypeKind::SymIntType:
      case c10::TypeKind::ScalarTypeType:
      case c10::TypeKind::LayoutType:
      case c10::TypeKind::MemoryFormatType:
        return integer(argument, formal);
      case c10::TypeKind::SymFloatType:
        return number(argument, formal).toDouble();
      case c10::TypeKind::BoolType:
      case c10::TypeKind::SymBoolType:
        if (const bool* flag = std::get_if<bool>(&argument.kind)) return *flag;
        break;
      case c10::TypeKind::StringType:
        if (const std::string* text = argument.text()) return *text;
        break;
      case c10::TypeKind::DeviceObjType:
        if (const auto* device = std::get_if<at::Device>(&argument.kind)) return *device;
        break;
      case c10::TypeKind::ListType:  // a lone int fills a list of unknown length (int[2] stride=1)
        if (argument.integer() != nullptr && formal.N()) {
          return box_list(type, ArgumentList(static_cast<std::size_t>(*formal.N()), argument), argument, formal);
        }
        break;
      default:
        break;
    }
    refuse(argument, formal);
  }

  int64_t integer(const Argument& argument, const c10::Argument& formal) const {
    if (const IntExpr* expr = argument.integer()) return expr->evaluate(bindings_);
    if (const bool* flag = std::get_if<bool>(&argument.kind)) return *flag ? 1 : 0;
    if (const auto* dtype = std::get_if<at::ScalarType>(&argument.kind)) return static_cast<int64_t>(*dtype);
    if (const auto* layout = std::get_if<at::Layout>(&argument.kind)) return static_cast<int64_t>(*layout);
    if (const auto* format = std::get_if<at::MemoryFormat>(&argument.kind)) return static_cast<int64_t>(*format);
    refuse(argument, formal);
  }

  c10::Scalar number(const Argument& argument, const c10::Argument& formal) const {
    if (const double* real = std::get_if<double>(&argument.kind)) return *real;
    if (const bool* flag = std::get_if<bool>(&argument.kind)) return *flag;
    if (const IntExpr* expr = argument.integer()) return expr->evaluate(bindings_);
    refuse(argument, formal);
  }

  c10::IValue box_list(const c10::Type& type, const ArgumentList& list, const Argument& whole,
                       const c10::Argument& formal) const {
    if (type.kind() != c10::TypeKind::ListType) refuse(whole, formal);
    const c10::TypePtr element = type.containedType(0);
    c10::impl::GenericList boxed(element);
    boxed.reserve(list.size());
    for (const Argument& item : list) boxed.push_back(box_as(*element, item, formal));
    return typed_list(*element, boxed);
  }

  /// The dispatcher wants List<int64_t> for int[] and SymInt[] alike, List<Tensor>, List<optional<Tensor>>, ...
  static c10::IValue typed_list(const c10::Type& element, const c10::impl::GenericList& boxed) {
    switch (element.kind()) {
      case c10::TypeKind::IntType:
      case c10::TypeKind::SymIntType:
        return c10::IValue(copy_list<int64_t>(boxed));
      case c10::TypeKind::FloatType:
        return c10::IValue(copy_list<double>(boxed));
      case c10::TypeKind::BoolType:
        return c10::IValue(copy_list<bool>(boxed));
      case c10::TypeKind::TensorType:
        return c10::IValue(copy_list<at::Tensor>(boxed));
      case c10::TypeKind::OptionalType:
        if (element.containedType(0)->kind() == c10::TypeKind::TensorType) {
          c10::List<std::optional<at::Tensor>> result;
          result.reserve(boxed.size());
          for (const c10::IValue& item : boxed)
            result.push_back(item.isNone() ? std::nullopt : std::optional(item.toTensor()));
          return c10::IValue(std::move(result));
        }
        return c10::IValue(boxed);
      default:
        return c10::IValue(boxed);
    }
  }

  template <class T>
  static c10::List<T> copy_list(const c10::impl::GenericList& boxed) {
    c10::List<T> result;
    result.reserve(boxed.size());
    for (const c10::IValue& item : boxed) result.push_back(item.to<T>());
    return result;
  }

  const OpInfo& op_;
  const std::function<const c10::IValue&(ValueId)>& value_of_;
  const Bindings& bindings_;
};

const c10::OperatorHandle& handle_of(const OpInfo& op) {
  LIMBECK_ASSERT(op.dispatcher_entry != nullptr, "[graph] {} cannot be run by itself", op.name);
  return *static_cast<const c10::OperatorHandle*>(op.dispatcher_entry);
}

}  // namespace

DispatcherEntry find_dispatcher_entry(std::string_view name) {
  const auto handle = c10::Dispatcher::singleton().findSchema(operator_name(name));
  if (!handle) return {};
  const auto* kept = new c10::OperatorHandle(*handle);  // rows of the op table live as long as the process
  return {
      .handle = kept,
      .schema = &kept->schema(),
      .is_random = kept->hasTag(at::Tag::nondeterministic_seeded),
      .is_data_dependent = kept->hasTag(at::Tag::dynamic_output_shape) || kept->hasTag(at::Tag::data_dependent_output)};
}

std::vector<std::string> dispatcher_op_names() {
  std::vector<std::string> names;
  for (const c10::OperatorName& name : c10::Dispatcher::singleton().getAllOpNames()) names.push_back(toString(name));
  return names;
}

void call_op(const OpInfo& op, Stack& stack) {
  if (op.traits.check != nullptr) op.traits.check(stack);
  if (op.kernel != nullptr) {
    RECORD_FUNCTION(op.name.c_str(), c10::ArrayRef<const c10::IValue>());  // ATen's ops are recorded by its dispatcher
    op.kernel(stack);
  } else {
    handle_of(op).callBoxed(stack);
  }
}

c10::IValue box_argument(const OpInfo& op, std::size_t slot, const Argument& argument,
                         const std::function<const c10::IValue&(ValueId)>& value_of, const Bindings& bindings) {
  return Boxer(op, value_of, bindings).box(slot, argument);
}

std::vector<c10::IValue> call_node(const Graph& graph, const Node& node,
                                   const std::function<const c10::IValue&(ValueId)>& value_of,
                                   const Bindings& bindings) {
  const Boxer boxer(*node.op, value_of, bindings);
  Stack stack;
  stack.reserve(node.arguments.size());
  try {
    for (std::size_t slot = 0; slot < node.arguments.size(); ++slot)
      stack.push_back(boxer.box(slot, node.arguments[slot]));
    call_op(*node.op, stack);
  } catch (const c10::Error& error) {
    fail<InvalidArgument>("[graph] {} in '{}' failed: {}", node.op->name, graph.scope(node.scope).path,
                          error.what_without_backtrace());
  }
  const auto& returns = node.op->schema->returns();
  if (returns.size() == 1 && returns[0].type()->kind() == c10::TypeKind::ListType) {
    const auto elements = stack.at(0).toListRef();
    return std::vector<c10::IValue>(elements.begin(), elements.end());
  }
  return stack;
}

Argument mode_argument_value(const ModeArgument& argument, const Argument& stored, Mode mode) {
  switch (argument.kind) {
    case ModeKind::flag:
      return mode == Mode::train;
    case ModeKind::probability:
      return mode == Mode::train ? stored : Argument(0.0);
  }
  fail<InternalError>("[graph] unknown kind of mode argument");
}

const OpInfo* in_place_twin(const OpInfo& op) {
  if (op.is_own()) return nullptr;
  const c10::OperatorName name = operator_name(op.name);
  const OpInfo* twin = find_op(name.name + "_" + (name.overload_name.empty() ? "" : "." + name.overload_name));
  if (twin == nullptr || twin->schema->arguments().size() != op.schema->arguments().size()) return nullptr;
  return twin;
}

}  // namespace limbeck::graph
