// From a graph to a Program: everything that a run would otherwise look up is looked up here.
#include <ATen/ATen.h>
#include <ATen/core/function_schema.h>
#include <ATen/core/ivalue.h>

#include <algorithm>
#include <unordered_map>

#include "limbeck/core/error.h"
#include "limbeck/graph/call_node.h"
#include "limbeck/model/fuse_for_training.h"
#include "limbeck/model/precision/low_precision_ops.h"
#include "limbeck/model/program.h"

namespace limbeck {

namespace {

using graph::Argument;
using graph::ArgumentList;
using graph::Graph;
using graph::Mode;
using graph::Node;
using graph::NodeId;
using graph::OpInfo;
using graph::ValueId;

bool is_symbolic(const Argument& argument) {
  if (const graph::IntExpr* integer = argument.integer()) return !integer->is_constant();
  const ArgumentList* list = argument.list();
  return list != nullptr && std::any_of(list->begin(), list->end(), is_symbolic);
}

bool is_view_op(const OpInfo& op) {
  const auto& returns = op.schema->returns();
  return std::any_of(returns.begin(), returns.end(), [](const c10::Argument& r) { return r.alias_info() != nullptr; });
}

/// Looks through Optional.
const c10::Type& slot_type(const OpInfo& op, std::size_t slot) {
  const c10::Type& type = *op.schema->arguments()[slot].real_type();
  return type.kind() == c10::TypeKind::OptionalType ? *type.containedType(0) : type;
}

/// Makes one Program. The order of calls in prepare() matters: each uses what the ones before it found.
class Preparer {
 public:
  Preparer(const Graph& graph, ProgramKey key) : program_(std::make_shared<Program>()) {
    program_->graph = graph;
    program_->key = std::move(key);
    if (program_->key.state_updates == StateUpdates::discard) program_->graph.state_writes.clear();
  }

  std::shared_ptr<const Program> prepare() {
    resolve_taps();
    if (program_->key.fusion == Fusion::training) fuse();
    needed_ = needed_nodes(
        graph(), root_mode(), [this](graph::ScopeId scope) { return mode_of(scope); }, taps_);
    resolve_nodes();
    find_shadows();
    find_snapshots();
    number_values();
    collect_results();
    count_uses();
    for (const NodeId id : needed_) add_step(id);
    return std::move(program_);
  }

 private:
  const Graph& graph() const { return program_->graph; }
  Mode mode_of(graph::ScopeId scope) const { return program_->key.modes[scope]; }
  Mode root_mode() const { return mode_of(0); }

  /// Names of scopes come before names of values; a leading % means a value.
  void resolve_taps() {
    for (const std::string& tap : program_->key.taps) taps_.push_back(resolve_tap(tap));
  }

  /// Taps are values by now: fusing may take away what other names stood for, never a kept value.
  void fuse() {
    const auto is_training = [this](graph::ScopeId scope) { return mode_of(scope) == Mode::train; };
    program_->fusion = fused::fuse_for_training(program_->graph, {.is_training = is_training, .kept = taps_});
  }

  ValueId resolve_tap(const std::string& tap) const {
    if (tap.starts_with('%')) {
      const auto value = graph().find_value(std::string_view(tap).substr(1));
      LIMBECK_CHECK(value.has_value(), "[model] no value '{}' to tap", tap);
      return *value;
    }
    const auto value = graph().find_value(tap);
    if (value && !graph().find_scope(graph::parse_scope_path(tap).scope)) return *value;
    try {
      return graph().resolve(tap);
    } catch (const InvalidArgument&) {
      if (value) return *value;
      throw;
    }
  }

  /// Arguments as this run sees them: mode arguments set, by_mode looked through, integer values as expressions.
  void resolve_nodes() {
    resolved_.resize(graph().num_ids());
    for (const NodeId id : needed_) {
      const Node& node = graph().node(id);
      std::vector<Argument> arguments = node.arguments;
      for (std::size_t i = 0; i < node.op->traits.mode_arguments.size(); ++i) {
        const graph::ModeArgument& mode_argument = node.op->traits.mode_arguments[i];
        Argument& argument = arguments[mode_argument.slot];
        if (follows_mode(node, i)) argument = mode_argument_value(mode_argument, argument, mode_of(node.scope));
      }
      for (Argument& argument : arguments) argument = resolve_argument(std::move(argument));
      resolved_[id] = std::move(arguments);
    }
  }

  Argument resolve_argument(Argument argument) const {
    if (const ValueId* value = argument.value()) return resolve_value(*value);
    if (auto* list = std::get_if<ArgumentList>(&argument.kind)) {
      for (Argument& element : *list) element = resolve_argument(std::move(element));
    }
    return argument;
  }

  /// What stands for `value` in this run: itself, the side of a by_mode, an integer expression, or None.
  Argument resolve_value(ValueId value) const {
    const Node& node = graph().node(value.node);
    if (node.op->is("limbeck::by_mode")) {
      return resolve_argument(node.arguments[mode_of(node.scope) == Mode::train ? 0 : 1]);
    }
    if (const auto* integer = std::get_if<graph::IntType>(&graph().type(value).kind)) return integer->expr;
    if (graph().type(value).is_none()) return graph::None{};
    return value;
  }

  bool is_step(NodeId id) const {
    const OpInfo& op = *graph().node(id).op;
    return !op.is("limbeck::by_mode") && !op.is("limbeck::input") && !op.is("limbeck::parameter");
  }

  /// Buffers that kernels of this run write although their schemas don't say so.
  void find_shadows() {
    for (const NodeId id : needed_) {
      for (const graph::HiddenWrite& write : graph().node(id).op->traits.hidden_writes) {
        if (!resolved_[id][write.when_flag].as_bool().value_or(false)) continue;
        const ValueId* value = resolved_[id][write.slot].value();
        const graph::Parameter* parameter = value == nullptr ? nullptr : graph().as_parameter(*value);
        if (parameter == nullptr) continue;
        const auto [entry, is_new] = shadow_of_.try_emplace(parameter->tensor.unsafeGetTensorImpl(), kNoValue);
        if (!is_new) continue;
        entry->second = program_->num_values++;
        program_->shadows.push_back({.value = entry->second, .buffer = parameter->tensor});
      }
    }
  }

  /// Buffers that this run reads and a state write of it replaces, under all their names and views.
  void find_snapshots() {
    std::vector<at::Tensor> written;
    for (const graph::StateWrite& write : graph().state_writes) {
      if (contains(write.when, mode_of(write.scope))) written.push_back(graph().parameter(write.buffer).tensor);
    }
    for (const NodeId id : needed_) {
      const graph::Parameter* parameter = graph().as_parameter({id, 0});
      if (parameter == nullptr || !parameter->is_buffer) continue;
      const bool is_written = std::any_of(written.begin(), written.end(), [&](const at::Tensor& buffer) {
        return buffer.is_alias_of(parameter->tensor);
      });
      if (!is_written) continue;
      const auto [entry, is_new] = shadow_of_.try_emplace(parameter->tensor.unsafeGetTensorImpl(), kNoValue);
      if (!is_new) continue;
      entry->second = program_->num_values++;
      program_->snapshots.push_back({.value = entry->second, .buffer = parameter->tensor});
    }
  }

  void number_values() {
    first_value_.assign(graph().num_ids(), kNoValue);
    for (const NodeId id : needed_) {
      if (!is_step(id)) continue;
      first_value_[id] = program_->num_values;
      program_->num_values += static_cast<ValueIndex>(graph().node(id).types.size());
    }
    for (std::size_t index = 0; index < graph().inputs.size(); ++index) {
      const auto value = graph().find_input_value(index);
      const bool is_needed = value && graph().inputs[index].type.tensor() != nullptr &&
                             std::find(needed_.begin(), needed_.end(), value->node) != needed_.end();
      program_->input_values.push_back(is_needed ? program_->num_values++ : kNoValue);
      if (is_needed) first_value_[value->node] = program_->input_values.back();
    }
  }

  /// The parameter that `value` reads, unless a shadow or a snapshot stands for it.
  const graph::Parameter* constant_parameter(ValueId value) const {
    const graph::Parameter* parameter = graph().as_parameter(value);
    if (parameter == nullptr || shadow_of_.contains(parameter->tensor.unsafeGetTensorImpl())) return nullptr;
    return parameter;
  }

  /// Table index of a resolved value; parameters get one on demand.
  ValueIndex index_of(ValueId value) {
    if (const graph::Parameter* parameter = graph().as_parameter(value)) {
      const auto shadow = shadow_of_.find(parameter->tensor.unsafeGetTensorImpl());
      return shadow == shadow_of_.end() ? preset_index(parameter->tensor) : shadow->second;
    }
    if (first_value_[value.node] == kNoValue) {
      LIMBECK_ASSERT(!is_step(value.node), "[model] %{} is used but not computed", graph().name(value));
      fail<Unsupported>("[model] input '{}' is no tensor", graph().name(value));
    }
    return first_value_[value.node] + value.output;
  }

  ValueIndex preset_index(const at::Tensor& tensor) {
    const auto [entry, is_new] = preset_of_.try_emplace(tensor.unsafeGetTensorImpl(), program_->num_values);
    if (is_new) {
      program_->preset_values.push_back(program_->num_values++);
      program_->presets.emplace_back(tensor);
    }
    return entry->second;
  }

  void collect_results() {
    for (const graph::Output& output : graph().outputs(root_mode())) add_output(output.name, output.value);
    for (std::size_t i = 0; i < taps_.size(); ++i) {
      const Argument resolved = resolve_value(taps_[i]);
      LIMBECK_CHECK(resolved.value() != nullptr, "[model] tap '{}' has no tensor in {} mode", program_->key.taps[i],
                    mode_name(root_mode()));
      program_->taps.push_back({.name = program_->key.taps[i], .value = index_of(*resolved.value())});
    }
    if (program_->key.state_updates == StateUpdates::discard) return;
    for (const graph::StateWrite& write : graph().state_writes) {
      if (!contains(write.when, mode_of(write.scope))) continue;
      const Argument resolved = resolve_value(write.value);
      LIMBECK_ASSERT(resolved.value() != nullptr, "[model] the value written to '{}' is no tensor", write.buffer);
      program_->writes.push_back(
          {.value = index_of(*resolved.value()), .buffer = graph().parameter(write.buffer).tensor});
    }
  }

  /// A list that the model returns is flattened: its elements are named "name.0", "name.1".
  void add_output(const std::string& name, const Argument& value) {
    const Argument resolved = resolve_argument(value);
    if (const ArgumentList* list = resolved.list()) {
      for (std::size_t i = 0; i < list->size(); ++i) add_output(fmt::format("{}.{}", name, i), (*list)[i]);
    } else if (resolved.value() != nullptr) {
      program_->outputs.push_back({.name = name, .value = index_of(*resolved.value())});
    } else {
      program_->outputs.push_back({.name = name, .constant = resolved});
    }
  }

  /// Which step uses each value last; values that outlive the steps have none.
  void count_uses() {
    last_use_.assign(program_->num_values, 0);
    num_uses_.assign(program_->num_values, 0);
    for (const NodeId id : needed_) {
      if (!is_step(id)) continue;
      for (const Argument& argument : resolved_[id]) {
        for_each_value(argument, [&](ValueId value) {
          if (constant_parameter(value) != nullptr) return;
          last_use_[index_of(value)] = id;
          ++num_uses_[index_of(value)];
        });
      }
    }
    is_kept_.assign(program_->num_values, false);
    for (const auto* results : {&program_->outputs, &program_->taps}) {
      for (const Result& result : *results) {
        if (result.value != kNoValue) is_kept_[result.value] = true;
      }
    }
    for (const BufferWrite& write : program_->writes) is_kept_[write.value] = true;
    for (const Shadow& shadow : program_->shadows) is_kept_[shadow.value] = true;
  }

  void add_step(NodeId id) {
    if (!is_step(id)) return;
    const Node& node = graph().node(id);
    Step step{.op = node.op, .node = id};
    uses_left_.clear();
    for (const Argument& argument : resolved_[id])
      for_each_value(argument, [&](ValueId value) {
        if (constant_parameter(value) == nullptr) ++uses_left_[index_of(value)];
      });
    step.stack.resize(resolved_[id].size());
    for (std::size_t slot = 0; slot < resolved_[id].size(); ++slot) add_slot(step, slot, resolved_[id][slot]);
    add_lists(step);
    add_outputs(step, node);
    decide_in_place(step, node);
    place(std::move(step), node.region);
  }

  void add_slot(Step& step, std::size_t slot, const Argument& argument) {
    const auto small_slot = static_cast<uint16_t>(slot);
    if (needs_run(argument)) {
      if (argument.value() == nullptr) return;  // lists come after all plain values
      const bool is_tensor = graph().type(*argument.value()).tensor() != nullptr;
      step.fills.push_back({.value = index_of(*argument.value()),
                            .slot = small_slot,
                            .is_last_use = take_use(step.node, *argument.value()),
                            .is_converted = !is_tensor});
    } else if (is_symbolic(argument)) {
      step.sized.push_back({.slot = small_slot, .entry = static_cast<uint32_t>(program_->sized.size())});
      program_->sized.push_back({.op = step.op, .slot = small_slot, .argument = argument});
    } else {
      step.stack[slot] = box_constant(*step.op, slot, argument);
      if (argument.value() != nullptr && is_low_precision_op(*step.op)) step.weights.push_back(small_slot);
    }
  }

  /// Whether `argument` holds a value that only a run has.
  bool needs_run(const Argument& argument) const {
    bool found = false;
    for_each_value(argument, [&](ValueId value) { found |= constant_parameter(value) == nullptr; });
    return found;
  }

  c10::IValue box_constant(const OpInfo& op, std::size_t slot, const Argument& argument) const {
    std::vector<c10::IValue> boxed;  // stays where it is: box_argument takes references
    const auto value_of = [&](ValueId value) -> const c10::IValue& {
      boxed.assign(1, c10::IValue(constant_parameter(value)->tensor));
      return boxed.front();
    };
    return box_argument(op, slot, argument, value_of, {});
  }

  void add_lists(Step& step) {
    const std::vector<Argument>& arguments = resolved_[step.node];
    for (std::size_t slot = 0; slot < arguments.size(); ++slot) {
      const ArgumentList* list = arguments[slot].list();
      if (list == nullptr || !needs_run(arguments[slot])) continue;
      ListFill fill{
          .slot = static_cast<uint16_t>(slot), .is_optional = is_optional_list(*step.op, slot), .elements = {}};
      for (const Argument& element : *list) fill.elements.push_back(list_element(step, element));
      step.lists.push_back(std::move(fill));
    }
  }

  static bool is_optional_list(const OpInfo& op, std::size_t slot) {
    const c10::Type& type = slot_type(op, slot);
    LIMBECK_CHECK(type.kind() == c10::TypeKind::ListType, "[model] argument '{}' of {} takes no list",
                  op.schema->arguments()[slot].name(), op.name);
    const c10::Type& element = *type.containedType(0);
    if (element.kind() == c10::TypeKind::TensorType) return false;
    const bool is_optional =
        element.kind() == c10::TypeKind::OptionalType && element.containedType(0)->kind() == c10::TypeKind::TensorType;
    if (!is_optional) {
      fail<Unsupported>("[model] argument '{}' of {} takes numbers that only a run knows",
                        op.schema->arguments()[slot].name(), op.name);
    }
    return true;
  }

  ListFill::Element list_element(const Step& step, const Argument& element) {
    if (element.is_none()) return {};
    LIMBECK_CHECK(element.value() != nullptr, "[model] a list argument of {} mixes tensors and numbers", step.op->name);
    const bool is_preset = constant_parameter(*element.value()) != nullptr;
    return {.value = index_of(*element.value()), .is_last_use = !is_preset && take_use(step.node, *element.value())};
  }

  /// Counts one use of `value` by the step of `node`; true when no use will follow.
  bool take_use(NodeId node, ValueId value) {
    const ValueIndex index = index_of(value);
    return --uses_left_[index] == 0 && last_use_[index] == node && !is_kept_[index];
  }

  void add_outputs(Step& step, const Node& node) {
    const auto& returns = node.op->schema->returns();
    step.unpacks_list = returns.size() == 1 && returns[0].real_type()->kind() == c10::TypeKind::ListType &&
                        !(node.types.size() == 1 && node.types[0].list() != nullptr);
    for (uint32_t output = 0; output < node.types.size(); ++output) {
      const ValueIndex index = first_value_[step.node] + output;
      step.outputs.push_back(num_uses_[index] > 0 || is_kept_[index] ? index : kNoValue);
    }
  }

  /// Python ran the op in place. So may we where nothing else sees the value that it overwrites. The interpreter still
  /// makes sure, run by run, that the memory has no other owner (kernels may return their input, autograd may keep it).
  void decide_in_place(Step& step, const Node& node) {
    if (!node.was_in_place || step.fills.empty() || step.fills.front().slot != 0) return;
    const auto& returns = node.op->schema->returns();
    if (step.fills.front().is_converted || returns.empty() ||
        returns[0].real_type()->kind() != c10::TypeKind::TensorType) {
      return;
    }
    step.keeps_dtype = true;
    const ValueId* value = resolved_[step.node][0].value();
    const bool is_made_by_step = is_step(value->node) && !is_view_op(*graph().node(value->node).op);
    const ValueIndex index = step.fills.front().value;
    if (!is_made_by_step || !step.fills.front().is_last_use || num_uses_[index] != 1) return;
    step.in_place = in_place_twin(*step.op);
  }

  void place(Step step, graph::RegionId region) {
    if (program_->segments.empty() || program_->segments.back().region != region) {
      const auto begin = static_cast<uint32_t>(program_->steps.size());
      program_->segments.push_back({.region = region, .begin = begin, .end = begin});
    }
    program_->steps.push_back(std::move(step));
    ++program_->segments.back().end;
  }

  std::shared_ptr<Program> program_;
  std::vector<ValueId> taps_;
  std::vector<NodeId> needed_;
  std::vector<std::vector<Argument>> resolved_;                        // by node
  std::unordered_map<const void*, ValueIndex> shadow_of_, preset_of_;  // by TensorImpl; snapshots too
  std::vector<ValueIndex> first_value_;                                // by node
  std::vector<NodeId> last_use_;                                       // by value
  std::vector<uint32_t> num_uses_;
  std::vector<bool> is_kept_;
  std::unordered_map<ValueIndex, uint32_t> uses_left_;  // by the step in the making
};

}  // namespace

bool follows_mode(const Node& node, std::size_t mode_argument) {
  if ((node.pinned_flags >> mode_argument & 1) != 0) return false;
  const graph::ModeArgument& argument = node.op->traits.mode_arguments[mode_argument];
  bool has_statistics = false, is_switch_of_statistics = false;
  for (const graph::HiddenWrite& write : node.op->traits.hidden_writes) {
    if (write.when_flag != argument.slot) continue;
    is_switch_of_statistics = true;
    has_statistics |= !node.arguments[write.slot].is_none();
  }
  return has_statistics || !is_switch_of_statistics;
}

std::shared_ptr<const Program> prepare_program(const Graph& graph, ProgramKey key) {
  return Preparer(graph, std::move(key)).prepare();
}

}  // namespace limbeck
