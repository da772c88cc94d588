#include "limbeck/graph/builder.h"

#include <ATen/core/function_schema.h>
#include <ATen/core/ivalue.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "limbeck/core/error.h"
#include "limbeck/graph/infer.h"

namespace limbeck::graph {

namespace {

/// A schema's default as a constant of the graph. Enumerations come as ints and are told apart by the slot's type.
Argument constant_of(const c10::IValue& value, const c10::Type& type) {
  if (type.kind() == c10::TypeKind::OptionalType && !value.isNone()) return constant_of(value, *type.containedType(0));
  if (value.isNone()) return None{};
  if (value.isBool()) return value.toBool();
  if (value.isDouble()) return value.toDouble();
  if (value.isString()) return std::string(value.toStringView());
  if (value.isDevice()) return value.toDevice();
  if (value.isInt()) {
    switch (type.kind()) {
      case c10::TypeKind::ScalarTypeType:
        return static_cast<at::ScalarType>(value.toInt());
      case c10::TypeKind::LayoutType:
        return static_cast<at::Layout>(value.toInt());
      case c10::TypeKind::MemoryFormatType:
        return static_cast<at::MemoryFormat>(value.toInt());
      default:
        return value.toInt();
    }
  }
  if (value.isList()) {
    ArgumentList list;
    for (const c10::IValue& element : value.toListRef()) list.push_back(constant_of(element, *type.containedType(0)));
    return list;
  }
  fail<InternalError>("[graph] a schema has a default of kind {}", value.tagKind());
}

std::vector<std::string> argument_names(const OpInfo& op) {
  std::vector<std::string> names;
  for (const c10::Argument& formal : op.schema->arguments()) names.push_back(formal.name());
  return names;
}

}  // namespace

std::vector<Argument> complete_arguments(const OpInfo& op, std::vector<Argument> positional,
                                         const NamedArguments& named) {
  const std::vector<c10::Argument>& formals = op.schema->arguments();
  LIMBECK_CHECK(positional.size() <= formals.size(), "[graph] {} takes {} arguments, got {}", op.name, formals.size(),
                positional.size());
  std::vector<Argument> arguments = std::move(positional);
  std::vector<bool> is_given(formals.size(), false);
  for (std::size_t slot = 0; slot < arguments.size(); ++slot) is_given[slot] = true;
  arguments.resize(formals.size());
  for (const auto& [name, argument] : named) {
    const std::optional<std::size_t> slot = op.find_slot(name);
    LIMBECK_CHECK(slot.has_value(), "[graph] {} has no argument '{}'. It has: {}", op.name, name,
                  fmt::join(argument_names(op), ", "));
    LIMBECK_CHECK(!is_given[*slot], "[graph] argument '{}' of {} is given twice", name, op.name);
    arguments[*slot] = argument;
    is_given[*slot] = true;
  }
  for (std::size_t slot = 0; slot < formals.size(); ++slot) {
    if (is_given[slot]) continue;
    const std::optional<c10::IValue>& value = formals[slot].default_value();
    LIMBECK_CHECK(value.has_value(), "[graph] argument '{}' of {} is missing", formals[slot].name(), op.name);
    arguments[slot] = constant_of(*value, *formals[slot].real_type());
  }
  return arguments;
}

Builder::ScopeGuard::ScopeGuard(Builder& builder, std::string path, uint32_t call)
    : builder_(builder), previous_path_(builder.scope_), previous_calls_(builder.calls_) {
  const auto depth = static_cast<std::size_t>(std::count(path.begin(), path.end(), '.')) + 1;
  builder_.scope_ = std::move(path);
  builder_.calls_.resize(depth, 0);
  builder_.calls_.back() = call;
}

Builder::ScopeGuard::~ScopeGuard() {
  builder_.scope_ = std::move(previous_path_);
  builder_.calls_ = std::move(previous_calls_);
}

Builder::ScopeGuard Builder::enter(std::string_view name, std::string_view type, uint32_t call) {
  LIMBECK_CHECK(!name.empty(), "[graph] a scope needs a name");
  std::string path = scope_.empty() ? std::string(name) : scope_ + "." + std::string(name);
  graph_.add_scope(path, type);
  return ScopeGuard(*this, std::move(path), call);
}

ValueId Builder::input(std::string name, Sizes sizes, at::ScalarType dtype) {
  TensorType type{.dtype = dtype, .sizes = std::move(sizes), .strides = std::nullopt};
  graph_.inputs.push_back({.name = std::move(name), .type = Type{std::move(type)}});
  graph_.input_tree.kind = "tuple";
  graph_.input_tree.children.emplace_back();
  return graph_.input_value(graph_.inputs.size() - 1);
}

ValueId Builder::parameter(std::string name, at::Tensor tensor) {
  if (tensor.is_floating_point() && tensor.is_leaf()) tensor.set_requires_grad(true);
  graph_.add_parameter({.name = name, .tensor = std::move(tensor)});
  return graph_.parameter_value(name);
}

ValueId Builder::buffer(std::string name, at::Tensor tensor, bool is_persistent) {
  graph_.add_parameter({.name = name, .tensor = std::move(tensor), .is_buffer = true, .is_persistent = is_persistent});
  return graph_.parameter_value(name);
}

std::vector<ValueId> Builder::call_all(std::string_view op, std::vector<Argument> positional,
                                       const NamedArguments& named) {
  Node node{.op = &op_info(op)};
  node.arguments = complete_arguments(*node.op, std::move(positional), named);
  node.scope = graph_.add_scope(scope_);
  if (!calls_.empty()) {
    node.call = calls_.back();
    node.outer_calls = graph_.add_outer_calls({calls_.begin(), calls_.end() - 1});
  }
  node.types = infer_types(graph_, node);
  const auto num_outputs = static_cast<uint32_t>(node.types.size());
  const NodeId id = graph_.append(std::move(node));
  std::vector<ValueId> values;
  for (uint32_t output = 0; output < num_outputs; ++output) values.push_back({id, output});
  return values;
}

ValueId Builder::call(std::string_view op, std::vector<Argument> positional, const NamedArguments& named) {
  const std::vector<ValueId> values = call_all(op, std::move(positional), named);
  LIMBECK_CHECK(!values.empty(), "[graph] {} has no output", op);
  return values.front();
}

void Builder::outputs(const std::vector<std::pair<std::string, ValueId>>& values) {
  std::vector<Output> outputs;
  TreeSpec tree;
  for (const auto& [name, value] : values) outputs.push_back({.value = value, .name = name});
  if (values.size() != 1)
    tree = {.kind = "tuple", .type = {}, .keys = {}, .children = std::vector<TreeSpec>(values.size())};
  graph_.train_outputs = graph_.eval_outputs = std::move(outputs);
  graph_.train_tree = graph_.eval_tree = std::move(tree);
}

}  // namespace limbeck::graph
