#include "limbeck/graph/capture/functional/functionalize.h"

#include <ATen/ATen.h>
#include <ATen/core/function_schema.h>

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "limbeck/core/error.h"
#include "limbeck/graph/builder.h"
#include "limbeck/graph/capture/functional/aliasing.h"
#include "limbeck/graph/capture/functional/view_inverse.h"

namespace limbeck::capture {

using graph::Argument;
using graph::Graph;
using graph::Node;
using graph::NodeId;
using graph::OpInfo;
using graph::TensorType;
using graph::Type;
using graph::ValueId;

namespace {

/// One piece of memory: a fresh tensor, an input, a parameter or a buffer.
struct Memory {
  enum class Kind : uint8_t { fresh, input, parameter };
  Kind kind = Kind::fresh;
  std::string parameter;    // its name
  uint32_t generation = 0;  // counts writes
  NodeId last_writer = 0;   // in the source, when generation > 0
};

/// A tensor of the source: all of a memory, or a view of another tensor.
struct Tensor {
  std::size_t memory = 0;
  std::optional<std::size_t> viewed;  // the tensor that it is a view of
  ValueId source;                     // its value in the source graph
  ValueId current;                    // its value in the new graph, as of `generation`
  uint32_t generation = 0;
};

class Functionalizer {
 public:
  explicit Functionalizer(const Export& source) : source_(source), in_(source.graph) {}

  Export run() {
    copy_interface();
    for (const NodeId id : in_.order()) visit(id);
    for (const graph::Output& output : in_.eval_outputs)
      out().eval_outputs.push_back({.value = mapped(output.value), .name = output.name});
    for (const graph::StateWrite& write : in_.state_writes) {
      out().state_writes.push_back(write);
      out().state_writes.back().value = value_of(tensor_of(write.value));
    }
    add_state_writes();
    for (const graph::StateWrite& write : out().state_writes) result_.lifted.erase(write.buffer);  // no constant
    return std::move(result_);
  }

 private:
  Graph& out() { return result_.graph; }

  void copy_interface() {
    result_.hints = source_.hints;
    result_.notes = source_.notes;
    result_.modules = source_.modules;
    result_.is_decomposed = source_.is_decomposed;
    result_.lifted = source_.lifted;
    out().inputs = in_.inputs;
    out().input_tree = in_.input_tree;
    out().eval_tree = in_.eval_tree;
    out().ranges = in_.ranges;
    out().checks = in_.checks;
    out().metadata = in_.metadata;
    for (const graph::Parameter& parameter : in_.parameters()) out().add_parameter(parameter);
    for (const graph::Scope& scope : in_.scopes()) out().add_scope(scope.path, scope.type);
    for (const graph::Region& region : in_.regions()) out().add_region(region);
  }

  // --- values ----------------------------------------------------------------------------------------------------

  std::size_t tensor_of(ValueId source) const {
    const auto found = tensors_by_value_.find(source);
    LIMBECK_ASSERT(found != tensors_by_value_.end(), "[capture] %{} is used before it is made", in_.name(source));
    return found->second;
  }

  void add_fresh(ValueId source, ValueId value, Memory memory) {
    memories_.push_back(std::move(memory));
    tensors_by_value_[source] = tensors_.size();
    tensors_.push_back({.memory = memories_.size() - 1, .viewed = {}, .source = source, .current = value});
  }

  void add_view(ValueId source, ValueId value, std::size_t viewed) {
    const std::size_t memory = tensors_[viewed].memory;
    tensors_by_value_[source] = tensors_.size();
    tensors_.push_back({.memory = memory,
                        .viewed = viewed,
                        .source = source,
                        .current = value,
                        .generation = memories_[memory].generation});
  }

  /// The tensor's value now: a view whose memory was written is made again, under the conditions (no_grad, autocast) of
  /// its own place and not of the node that asks.
  ValueId value_of(std::size_t tensor) {
    const uint32_t generation = memories_[tensors_[tensor].memory].generation;
    if (tensors_[tensor].generation == generation) return tensors_[tensor].current;
    LIMBECK_ASSERT(tensors_[tensor].viewed.has_value(), "[capture] a written tensor lost its value");
    check_still_view(in_.node(tensors_[tensor].source.node));
    const ValueId viewed = value_of(*tensors_[tensor].viewed);
    const ValueId source = tensors_[tensor].source;
    Node node = in_.node(source.node);
    if (is_in_place_view(*node.op)) node.op = functional_twin(*node.op);
    const std::size_t slot = viewed_slot(in_, in_.node(source.node), source_.hints).value_or(0);
    for (std::size_t i = 0; i < node.arguments.size(); ++i)
      node.arguments[i] = i == slot ? Argument(viewed) : mapped(in_.node(source.node).arguments[i]);
    node.names.clear();
    const NodeId id = append(std::move(node), source.node);
    tensors_[tensor].current = {id, source.output};
    tensors_[tensor].generation = generation;
    return tensors_[tensor].current;
  }

  /// resolve_conj of complex numbers is its input or a copy, which depends on a bit that types don't have.
  void check_still_view(const Node& view) const {
    const std::string_view name = short_name(*view.op);
    const TensorType* type = view.types[0].tensor();
    if (type != nullptr && c10::isComplexType(type->dtype) && (name == "resolve_conj" || name == "resolve_neg"))
      refuse(view, "is used after a write to its argument, of which it may be a copy");
  }

  Argument mapped(const Argument& argument) {
    Argument result = argument;
    graph::map_values(result, [&](ValueId value) { return value_of(tensor_of(value)); });
    return result;
  }

  NodeId append(Node node, NodeId origin) {
    if (node.outer_calls != 0) node.outer_calls = out().add_outer_calls(in_.outer_calls(node.outer_calls));
    const NodeId id = out().append(std::move(node));
    result_.set_trace(id, source_.trace(origin));
    return id;
  }

  // --- nodes -----------------------------------------------------------------------------------------------------

  void visit(NodeId id) {
    const Node& node = in_.node(id);
    if (node.op->is("limbeck::input")) {
      const auto index = static_cast<std::size_t>(*node.arguments[0].as_int());
      return add_fresh({id, 0}, out().input_value(index), {.kind = Memory::Kind::input, .parameter = {}});
    }
    if (node.op->is("limbeck::parameter")) {
      const std::string& name = *node.arguments[0].text();
      return add_fresh({id, 0}, out().parameter_value(name), {.kind = Memory::Kind::parameter, .parameter = name});
    }
    check_hidden_writes(node);
    if (is_in_place_view(*node.op)) return view_in_place(id);
    if (const auto slot = written_slot(*node.op)) return write(id, *slot);
    copy(id);
  }

  void copy(NodeId id) {
    const Node& node = in_.node(id);
    Node made = node;
    for (Argument& argument : made.arguments) argument = mapped(argument);
    const NodeId new_id = append(std::move(made), id);
    add_outputs(id, new_id);
  }

  void add_outputs(NodeId id, NodeId new_id) {
    const Node& node = in_.node(id);
    const auto slot = viewed_slot(in_, node, source_.hints);
    const ValueId* viewed = slot ? node.arguments[*slot].value() : nullptr;
    for (uint32_t output = 0; output < node.types.size(); ++output) {
      if (viewed != nullptr) {
        add_view({id, output}, {new_id, output}, tensor_of(*viewed));
      } else {
        add_fresh({id, output}, {new_id, output}, {.parameter = {}});
      }
    }
  }

  /// `x.squeeze_()`: x itself is from now on the squeezed view.
  void view_in_place(NodeId id) {
    const Node& node = in_.node(id);
    const OpInfo* twin = functional_twin(*node.op);
    const ValueId* target = node.arguments[0].value();
    if (twin == nullptr || target == nullptr) refuse(node, "has no functional form");
    const std::size_t viewed = tensor_of(*target);
    Node made = node;
    made.op = twin;
    for (Argument& argument : made.arguments) argument = mapped(argument);
    const NodeId new_id = append(std::move(made), id);
    add_view({id, 0}, {new_id, 0}, viewed);
    tensors_by_value_[*target] = tensors_by_value_[{id, 0}];
  }

  /// Kernels that write buffers behind their schema's back must get the buffer itself.
  void check_hidden_writes(const Node& node) {
    for (const graph::HiddenWrite& write : node.op->traits.hidden_writes) {
      const ValueId* value = node.arguments[write.slot].value();
      if (value == nullptr || node.arguments[write.when_flag].as_bool() == false) continue;
      const Memory& memory = memories_[tensors_[tensor_of(*value)].memory];
      if (memory.kind != Memory::Kind::parameter || memory.generation > 0 || tensors_[tensor_of(*value)].viewed)
        refuse(node, "updates statistics that are no plain buffer, or that the model also writes itself");
    }
  }

  // --- writes ------------------------------------------------------------------------------------------------------

  void write(NodeId id, std::size_t slot) {
    const Node& node = in_.node(id);
    const ValueId* target = node.arguments[slot].value();
    if (target == nullptr) refuse(node, "writes something that is no tensor");
    const std::size_t tensor = tensor_of(*target);
    check_writable(node, tensor);
    const ValueId value = written_value(id, slot, tensor);
    store(tensor, value, id);
    for (uint32_t output = 0; output < node.types.size(); ++output) tensors_by_value_[{id, output}] = tensor;
  }

  void check_writable(const Node& node, std::size_t tensor) {
    const Memory& memory = memories_[tensors_[tensor].memory];
    if (memory.kind == Memory::Kind::parameter) check_buffer(node, memory.parameter);
    const graph::Region& region = in_.regions()[node.region];
    const TensorType* type = in_.type(tensors_[tensor].source).tensor();
    if (memory.kind == Memory::Kind::fresh && region.grad_enabled == false && type != nullptr && type->requires_grad)
      refuse(node, "writes a tensor with a gradient inside torch.no_grad()");
    for (std::size_t at = tensor; tensors_[at].viewed; at = *tensors_[at].viewed) {
      const Node& view = in_.node(tensors_[at].source.node);
      const TensorType* viewed = in_.type(tensors_[*tensors_[at].viewed].source).tensor();
      if (short_name(*view.op) == "detach" && viewed != nullptr && viewed->requires_grad)
        refuse(node, "writes through detach() into a tensor with a gradient");
    }
  }

  void check_buffer(const Node& node, const std::string& name) {
    const graph::Parameter& parameter = in_.parameter(name);
    if (!parameter.is_buffer) refuse(node, "writes the parameter '" + name + "'");
    const auto shares = [&](const graph::Parameter& other) {
      return other.name != name &&
             other.tensor.storage().unsafeGetStorageImpl() == parameter.tensor.storage().unsafeGetStorageImpl();
    };
    const auto& all = in_.parameters();
    if (std::any_of(all.begin(), all.end(), shares))
      refuse(node, "writes the buffer '" + name + "', which shares its memory");
  }

  ValueId written_value(NodeId id, std::size_t slot, std::size_t tensor) {
    const Node& node = in_.node(id);
    if (short_name(*node.op) == "copy_") {
      if (const auto source = copied_value(id, tensor)) return *source;
    }
    const OpInfo* twin = functional_twin(*node.op);
    if (twin == nullptr) refuse(node, "has no functional form");
    const TensorType& type = *in_.type(tensors_[tensor].source).tensor();
    Node made = node;
    made.op = twin;
    made.arguments = twin_arguments(node, *twin);
    made.types = {Type{type}};
    made.was_in_place = slot == 0 && is_whole_fresh(tensor);
    const at::ScalarType dtype = functional_dtype(node, type);
    made.types[0].tensor()->dtype = dtype;
    const NodeId new_id = append(std::move(made), id);
    return dtype == type.dtype ? ValueId{new_id, 0}
                               : convert(id, "aten::to.dtype", {ValueId{new_id, 0}, type.dtype}, type);
  }

  /// The in-place op's arguments in order, or by name where the functional form has others.
  std::vector<Argument> twin_arguments(const Node& node, const OpInfo& twin) {
    graph::NamedArguments named;
    const auto &formals = node.op->schema->arguments(), &wanted = twin.schema->arguments();
    const bool is_in_order = formals.size() == wanted.size();  // dropout_(self, ...) is dropout(input, ...)
    for (std::size_t i = 0; i < formals.size(); ++i) {
      const std::string& name = is_in_order ? wanted[i].name() : formals[i].name();
      if (twin.find_slot(name)) named.emplace_back(name, mapped(node.arguments[i]));
    }
    return graph::complete_arguments(twin, {}, named);
  }

  /// What `copy_` puts into its target: the source in the target's dtype and sizes. (`aten::copy` has no derivative.)
  std::optional<ValueId> copied_value(NodeId id, std::size_t tensor) {
    const Node& node = in_.node(id);
    const ValueId* source = node.arguments[1].value();
    if (source == nullptr) return std::nullopt;
    if (tensor_of(*source) == tensor) return value_of(tensor);
    const TensorType& from = *in_.type(*source).tensor();
    const TensorType& to = *in_.type(tensors_[tensor].source).tensor();
    if (from.device != to.device || !to.sizes) return std::nullopt;
    ValueId value = value_of(tensor_of(*source));
    TensorType type = from;
    type.dtype = to.dtype;
    if (from.dtype != to.dtype) value = convert(id, "aten::to.dtype", {value, to.dtype}, type);
    if (from.sizes != to.sizes) value = convert(id, "aten::expand", {value, Argument(*to.sizes)}, to);
    return value;
  }

  /// What the functional op makes where the write keeps its target's dtype.
  at::ScalarType functional_dtype(const Node& node, const TensorType& type) const {
    static constexpr std::array kTests = {"eq_", "ne_",          "lt_",         "le_",          "gt_",
                                          "ge_", "logical_and_", "logical_or_", "logical_xor_", "logical_not_"};
    static constexpr std::array kPromoting = {"add_",       "sub_",   "mul_",         "div_",        "addcmul_",
                                              "addcdiv_",   "lerp_",  "pow_",         "clamp_",      "fmod_",
                                              "remainder_", "atan2_", "bitwise_and_", "bitwise_or_", "bitwise_xor_"};
    const auto is_in = [name = short_name(*node.op)](const auto& names) {
      return std::find(names.begin(), names.end(), name) != names.end();
    };
    if (is_in(kTests)) return at::kBool;
    if (!is_in(kPromoting)) return type.dtype;
    at::ScalarType dtype = type.dtype;
    for (std::size_t i = 1; i < node.arguments.size(); ++i) {
      const ValueId* other = node.arguments[i].value();
      const TensorType* other_type = other == nullptr ? nullptr : in_.type(*other).tensor();
      const bool takes_part = other_type != nullptr && !(other_type->sizes && other_type->sizes->empty());
      if (takes_part) dtype = c10::promoteTypes(dtype, other_type->dtype);
    }
    return dtype;
  }

  /// Appends a call in the writer's place.
  ValueId convert(NodeId writer, const char* op, std::vector<Argument> arguments, const TensorType& type) {
    const Node& node = in_.node(writer);
    Node made{.op = &graph::op_info(op)};
    made.arguments = graph::complete_arguments(*made.op, std::move(arguments), {});
    made.types = {Type{type}};
    made.scope = node.scope;
    made.call = node.call;
    made.outer_calls = node.outer_calls;
    made.region = node.region;
    return {append(std::move(made), writer), 0};
  }

  bool is_whole_fresh(std::size_t tensor) const {
    const Tensor& target = tensors_[tensor];
    return !target.viewed && memories_[target.memory].kind == Memory::Kind::fresh &&
           !may_alias(in_.node(target.source.node));
  }

  /// Makes `value` the tensor's value, and with it everything that shares its memory.
  void store(std::size_t tensor, ValueId value, NodeId writer) {
    if (const auto viewed = tensors_[tensor].viewed) {
      store(*viewed, base_after_write(tensor, value, writer), writer);
    } else {
      Memory& memory = memories_[tensors_[tensor].memory];
      ++memory.generation;
      memory.last_writer = writer;
    }
    tensors_[tensor].current = value;
    tensors_[tensor].generation = memories_[tensors_[tensor].memory].generation;
  }

  ValueId base_after_write(std::size_t tensor, ValueId value, NodeId writer) {
    const std::size_t viewed = *tensors_[tensor].viewed;
    const ValueId source = tensors_[tensor].source;
    const Node& written = in_.node(writer);
    const Type base_type = in_.type(tensors_[viewed].source);
    const WrittenView write{.source = &in_,
                            .view = &in_.node(source.node),
                            .output = source.output,
                            .base_type = base_type,
                            .base = value_of(viewed),
                            .written = value};
    return invert_view(write, [&](const char* op, const graph::NamedArguments& arguments) {
      Node node{.op = &graph::op_info(op)};
      node.arguments = graph::complete_arguments(*node.op, {}, arguments);
      node.types = {base_type};
      node.scope = written.scope;
      node.call = written.call;
      node.outer_calls = written.outer_calls;
      node.region = written.region;
      return ValueId{append(std::move(node), writer), 0};
    });
  }

  void add_state_writes() {
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
      const Memory& memory = memories_[tensors_[i].memory];
      if (tensors_[i].viewed || memory.kind != Memory::Kind::parameter || memory.generation == 0) continue;
      out().state_writes.push_back({.buffer = memory.parameter,
                                    .value = value_of(i),
                                    .when = graph::Mode::both,
                                    .scope = in_.node(memory.last_writer).scope});
    }
  }

  [[noreturn]] void refuse(const Node& node, const std::string& why) const {
    fail<Unsupported>("[capture] {} in '{}' {}, which a graph does not express", node.op->name,
                      in_.scope(node.scope).path, why);
  }

  const Export& source_;
  const Graph& in_;
  Export result_;
  std::vector<Memory> memories_;
  std::vector<Tensor> tensors_;
  std::map<ValueId, std::size_t> tensors_by_value_;
};

/// Strides and gradient flags served to decide aliasing; kernels make their own strides.
void forget_export_facts(Graph& graph) {
  for (const NodeId id : graph.order()) {
    const std::string& op = graph.node(id).op->name;
    if (op == "limbeck::input" || op == "limbeck::parameter") continue;
    for (Type& type : graph.edit(id).types) {
      if (TensorType* tensor = type.tensor()) {
        tensor->strides.reset();
        tensor->requires_grad = false;
      }
    }
  }
}

}  // namespace

Export functionalize(const Export& source) {
  Export result = Functionalizer(source).run();
  graph::eliminate_dead_nodes(result.graph);
  forget_export_facts(result.graph);
  return result;
}

}  // namespace limbeck::capture
