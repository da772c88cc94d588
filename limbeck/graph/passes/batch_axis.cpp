#include "limbeck/graph/passes/batch_axis.h"

#include <algorithm>
#include <map>
#include <optional>

#include "limbeck/core/error.h"
#include "limbeck/graph/infer.h"
#include "limbeck/graph/passes/batch_proof.h"
#include "limbeck/graph/passes/factored_axes.h"

namespace limbeck::passes {

using graph::Argument;
using graph::ArgumentList;
using graph::Graph;
using graph::IntExpr;
using graph::Node;
using graph::NodeId;
using graph::Sizes;
using graph::TensorType;
using graph::Type;
using graph::ValueId;

namespace {

constexpr int kMaxAttempts = 400;

/// Why a node can't follow the batch.
struct Refusal {
  NodeId node;
  std::string text;
};

bool is_one_of(const Node& node, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), node.op->name) != names.end();
}

class Propagation {
 public:
  Propagation(const Graph& fixed, int64_t batch)
      : fixed_(fixed), graph_(fixed), batch_(batch), symbol_(IntExpr::symbol(kFreeBatchSymbol)) {}

  /// The freed graph, or nothing and a refusal.
  std::optional<Graph> run() {
    free_inputs();
    const std::vector<NodeId>& order = graph_.order();
    std::size_t at = 0;
    for (int attempts = 0;;) {
      try {
        for (; at < order.size(); ++at) visit(order[at]);
        check_outputs();
        break;
      } catch (const Error& error) {
        const NodeId failed = order[std::min(at, order.size() - 1)];
        if (!refusal_) refusal_ = {failed, error.what()};
        if (++attempts > kMaxAttempts) return std::nullopt;
        const std::optional<std::size_t> resume = repair(failed);
        if (!resume) return std::nullopt;
        at = *resume;
      }
    }
    graph_.ranges.push_back({.symbol = kFreeBatchSymbol, .min = 1, .max = INT64_MAX});
    return std::move(graph_);
  }

  const std::optional<Refusal>& refusal() const { return refusal_; }

 private:
  struct Choice {
    std::size_t position = 0;  // in the order
    std::size_t taken = 0;     // which of the candidates
    std::size_t count = 0;
  };

  void free_inputs() {
    for (std::size_t i = 0; i < graph_.inputs.size(); ++i) {
      TensorType* type = graph_.inputs[i].type.tensor();
      if (type == nullptr || !type->sizes || type->sizes->empty() || type->sizes->front() != IntExpr(batch_)) continue;
      type->sizes->front() = symbol_;
    }
  }

  // --- one node ------------------------------------------------------------------------------------------------

  void visit(NodeId id) {
    Node& node = graph_.edit(id);
    if (node.op->is("limbeck::input")) {
      node.types = {graph_.inputs[static_cast<std::size_t>(*node.arguments[0].as_int())].type};
      return set_places(id);
    }
    if (node.op->is("limbeck::parameter")) return set_places(id);
    node.arguments = fixed_.node(id).arguments;
    for (const auto& [slot, argument] : demanded_[id]) node.arguments[slot] = argument;
    if (is_one_of(node, {"aten::view", "aten::reshape", "aten::_unsafe_view"})) {
      reshape(id);
    } else if (is_one_of(node, {"aten::expand"})) {
      expand(id);
    } else if (is_one_of(node, {"aten::index.Tensor"})) {
      index(id);
    } else if (is_one_of(node, {"aten::select.int"})) {
      refuse_on_batch(id, "selects one sample of the batch");
    } else if (is_one_of(node, {"aten::slice.Tensor"})) {
      slice(id);
    } else if (is_one_of(node, {"aten::cat", "aten::stack"})) {
      check_agreement(id);
    } else if (is_one_of(node, {"aten::linear"})) {
      check_features(id);
    }
    infer(id);
    set_places(id);
  }

  void infer(NodeId id) {
    std::vector<Type> types = graph::infer_types(graph_, graph_.node(id));
    const std::vector<Type>& old = fixed_.node(id).types;
    if (types.size() != old.size()) refuse(id, "has another number of outputs at another batch size");
    for (std::size_t output = 0; output < types.size(); ++output) {
      if (types[output].tensor() != nullptr && !equals_at_batch(types[output], old[output]))
        refuse(id, "has other sizes than the export's");
    }
    graph_.edit(id).types = std::move(types);
  }

  bool equals_at_batch(const Type& freed, const Type& fixed) const {
    const TensorType *a = freed.tensor(), *b = fixed.tensor();
    if (a == nullptr || b == nullptr || !a->sizes || !b->sizes || a->sizes->size() != b->sizes->size()) return false;
    for (std::size_t axis = 0; axis < a->sizes->size(); ++axis) {
      const auto size = (*b->sizes)[axis].constant();
      if (!size || (*a->sizes)[axis].evaluate({{kFreeBatchSymbol, batch_}}) != *size) return false;
    }
    return true;
  }

  [[noreturn]] void refuse(NodeId id, const std::string& why) const {
    const Node& node = graph_.node(id);
    fail<Unsupported>("{} in '{}' {}", node.op->name, graph_.scope(node.scope).path, why);
  }

  const Sizes* sizes(ValueId value) const {
    const TensorType* type = graph_.type(value).tensor();
    return type == nullptr || !type->sizes ? nullptr : &*type->sizes;
  }

  bool is_batched(ValueId value, std::size_t axis) const {
    const Sizes* found = sizes(value);
    return found != nullptr && axis < found->size() && !(*found)[axis].is_constant();
  }

  std::optional<ValueId> self(NodeId id) const {
    const ValueId* value = graph_.node(id).arguments[0].value();
    return value == nullptr ? std::nullopt : std::optional(*value);
  }

  static std::optional<std::size_t> axis_of(const Argument& argument, std::size_t rank) {
    const auto axis = argument.as_int();
    if (!axis) return std::nullopt;
    const int64_t wrapped = *axis < 0 ? *axis + static_cast<int64_t>(rank) : *axis;
    return wrapped >= 0 && wrapped < static_cast<int64_t>(rank) ? std::optional(static_cast<std::size_t>(wrapped))
                                                                : std::nullopt;
  }

  /// Sizes are the old ones with the batch in its place; where there are several places, the next untried.
  void reshape(NodeId id) {
    const auto input = self(id);
    const TensorType* old = fixed_.node(id).types[0].tensor();
    if (!input || old == nullptr || !old->sizes) return;
    const FactoredShape& from = places_.at(*input);
    std::vector<int64_t> to;
    for (const IntExpr& size : *old->sizes) to.push_back(size.constant().value_or(-1));
    const std::vector<FactoredShape> candidates = reshaped(from, to, batch_);
    if (candidates.empty()) refuse(id, "tears the batch apart");
    const std::size_t taken = take_choice(id, candidates.size());
    const FactoredShape& shape = candidates[taken];
    ArgumentList list;
    for (const FactoredAxis& axis : shape) list.emplace_back(axis.expression(symbol_));
    graph_.edit(id).arguments[1] = std::move(list);
    reshaped_[id] = shape;
  }

  std::size_t take_choice(NodeId id, std::size_t count) {
    const auto& order = graph_.order();
    const auto position = static_cast<std::size_t>(std::find(order.begin(), order.end(), id) - order.begin());
    const auto known = std::find_if(choices_.begin(), choices_.end(),
                                    [&](const Choice& choice) { return choice.position == position; });
    if (known != choices_.end()) return std::min(known->taken, count - 1);
    if (count > 1) choices_.push_back({.position = position, .taken = 0, .count = count});
    return 0;
  }

  /// An axis that has the batch keeps it; an axis of size one that is expanded to a constant stays, unless demanded.
  void expand(NodeId id) {
    const auto input = self(id);
    const ArgumentList* wanted = graph_.node(id).arguments[1].list();
    const Sizes* from = input ? sizes(*input) : nullptr;
    if (from == nullptr || wanted == nullptr || wanted->size() < from->size()) return;
    ArgumentList list = *wanted;
    const std::size_t added = list.size() - from->size();
    for (std::size_t axis = 0; axis < from->size(); ++axis) {
      if (!(*from)[axis].is_constant() && list[axis + added].as_int() != -1) list[axis + added] = (*from)[axis];
    }
    graph_.edit(id).arguments[1] = std::move(list);
  }

  /// Rows picked out of the batch: only all of them, in their order, is the same at every batch size.
  void index(NodeId id) {
    const auto input = self(id);
    const ArgumentList* indices = graph_.node(id).arguments[1].list();
    if (!input || indices == nullptr) return;
    for (std::size_t axis = 0; axis < indices->size(); ++axis) {
      const ValueId* index = (*indices)[axis].value();
      if (index == nullptr || !is_batched(*input, axis)) continue;
      if (!has_batch(*index) && !demand_anywhere(*index)) refuse(id, "picks fixed samples of the batch");
      if (!has_batch(*index)) throw Unsupported("an earlier node takes the batch");  // and this one is visited again
    }
  }

  /// Joined tensors have one size on every axis that is not joined, symbols included.
  void check_agreement(NodeId id) const {
    const Node& node = graph_.node(id);
    const ArgumentList* parts = node.arguments[0].list();
    const Sizes* first = nullptr;
    for (std::size_t i = 0; parts != nullptr && i < parts->size(); ++i) {
      const Sizes* part = (*parts)[i].value() == nullptr ? nullptr : sizes(*(*parts)[i].value());
      if (part == nullptr) return;
      if (first == nullptr) first = part;
      if (part->size() != first->size()) return;
      const auto joined = node.op->is("aten::cat") ? axis_of(node.arguments[1], part->size()) : std::nullopt;
      for (std::size_t axis = 0; axis < part->size(); ++axis) {
        if (axis != joined && (*part)[axis] != (*first)[axis]) refuse(id, "joins tensors of which one lacks the batch");
      }
    }
  }

  void check_features(NodeId id) const {
    const auto input = self(id);
    const Sizes* from = input ? sizes(*input) : nullptr;
    if (from != nullptr && !from->empty() && !from->back().is_constant()) refuse(id, "takes the batch for features");
  }

  void slice(NodeId id) {
    const auto input = self(id);
    const Node& node = graph_.node(id);
    const Sizes* from = input ? sizes(*input) : nullptr;
    const auto axis = from == nullptr ? std::nullopt : axis_of(node.arguments[1], from->size());
    if (!axis || (*from)[*axis].is_constant()) return;
    const auto start = node.arguments[2].is_none() ? std::optional<int64_t>(0) : node.arguments[2].as_int();
    const auto end = node.arguments[3].is_none() ? std::optional<int64_t>(INT64_MAX) : node.arguments[3].as_int();
    const auto old = fixed_.type(*input).tensor()->sizes->at(*axis).constant();
    if (start != 0 || !end || !old || *end < *old) refuse(id, "takes a part of the batch");
    graph_.edit(id).arguments[3] = INT64_MAX;
  }

  void refuse_on_batch(NodeId id, const std::string& why) const {
    const auto input = self(id);
    const Sizes* from = input ? sizes(*input) : nullptr;
    const auto axis = from == nullptr ? std::nullopt : axis_of(graph_.node(id).arguments[1], from->size());
    if (axis && !(*from)[*axis].is_constant()) refuse(id, why);
  }

  bool has_batch(ValueId value) const {
    const Sizes* found = sizes(value);
    return found != nullptr &&
           std::any_of(found->begin(), found->end(), [](const IntExpr& size) { return !size.is_constant(); });
  }

  // --- places --------------------------------------------------------------------------------------------------

  /// Factors of every output axis. An axis k * B is taken to have the batch outermost, unless an operand has an equal
  /// axis that says otherwise or a reshape just decided.
  void set_places(NodeId id) {
    const Node& node = graph_.node(id);
    const auto decided = reshaped_.find(id);
    for (uint32_t output = 0; output < node.types.size(); ++output) {
      const ValueId value{id, output};
      if (decided != reshaped_.end()) {
        places_[value] = decided->second;
        continue;
      }
      FactoredShape shape;
      const Sizes* found = sizes(value);
      for (std::size_t axis = 0; found != nullptr && axis < found->size(); ++axis)
        shape.push_back(place_of(node, (*found)[axis]));
      if (std::count_if(shape.begin(), shape.end(), [](const FactoredAxis& axis) { return axis.has_batch; }) > 1)
        refuse(id, "has the batch in two axes");
      places_[value] = std::move(shape);
    }
  }

  FactoredAxis place_of(const Node& node, IntExpr size) const {
    if (const auto constant = size.constant()) return {.inner = *constant};
    const int64_t one = size.evaluate({{kFreeBatchSymbol, 1}});
    if (size != IntExpr(one) * symbol_) {
      fail<Unsupported>("{} in '{}' makes an axis of size {}, which is no multiple of the batch", node.op->name,
                        graph_.scope(node.scope).path, size.to_string());
    }
    FactoredAxis place{.has_batch = true, .inner = one};
    for (const Argument& argument : node.arguments) {
      graph::for_each_value(argument, [&](ValueId value) {
        const auto known = places_.find(value);
        if (known == places_.end()) return;
        for (const FactoredAxis& axis : known->second) {
          if (axis.has_batch && axis.expression(symbol_) == size) place = axis;
        }
      });
    }
    return place;
  }

  // --- demands -------------------------------------------------------------------------------------------------

  /// After a node failed: gives the batch to an operand that lacks it, or tries another place in the last reshape.
  /// Returns where to go on.
  std::optional<std::size_t> repair(NodeId failed) {
    if (const auto demanded = take_demand()) return demanded;
    if (const auto demanded = demand_operands(failed)) return demanded;
    while (!choices_.empty()) {
      Choice& last = choices_.back();
      if (last.taken + 1 < last.count) {
        ++last.taken;
        return last.position;
      }
      choices_.pop_back();
    }
    return std::nullopt;
  }

  std::optional<std::size_t> take_demand() {
    const std::optional<std::size_t> result = resume_;
    resume_.reset();
    return result;
  }

  /// Operands of one node must agree where one has the batch and another the old batch size, axis by axis from the
  /// right (broadcast) or from the left (cat, stack).
  std::optional<std::size_t> demand_operands(NodeId id) {
    const Node& node = graph_.node(id);
    std::vector<ValueId> operands;
    for (const Argument& argument : node.arguments)
      graph::for_each_value(argument, [&](ValueId value) { operands.push_back(value); });
    for (const ValueId model : operands) {
      const Sizes* wanted = sizes(model);
      for (std::size_t axis = 0; wanted != nullptr && axis < wanted->size(); ++axis) {
        if ((*wanted)[axis].is_constant()) continue;
        const std::size_t from_right = wanted->size() - axis;
        for (const ValueId operand : operands) {
          const Sizes* has = sizes(operand);
          if (has == nullptr || has->size() < from_right) continue;
          if (demand(operand, has->size() - from_right, (*wanted)[axis])) return take_demand();
        }
      }
    }
    return std::nullopt;
  }

  bool demand_anywhere(ValueId value) {
    const Sizes* found = sizes(value);
    for (std::size_t axis = 0; found != nullptr && axis < found->size(); ++axis) {
      if (demand(value, axis, symbol_)) return true;
    }
    return false;
  }

  /// Makes axis `axis` of `value` have size `size`, which at the old batch size it has. True when some node's sizes
  /// changed: the walk goes on from there.
  bool demand(ValueId value, std::size_t axis, IntExpr size) {
    const Sizes* found = sizes(value);
    if (found == nullptr || axis >= found->size() || !(*found)[axis].is_constant()) return false;
    if ((*found)[axis] != IntExpr(size.evaluate({{kFreeBatchSymbol, batch_}}))) return false;
    const Node& node = graph_.node(value.node);
    if (is_one_of(node, {"aten::expand"})) return demand_slot(value.node, 1, axis, size);
    if (is_one_of(node, {"aten::zeros", "aten::ones", "aten::full", "aten::empty.memory_format", "aten::rand",
                         "aten::randn"}))
      return demand_slot(value.node, 0, axis, size);
    if (is_one_of(node, {"aten::new_zeros", "aten::new_ones", "aten::new_full", "aten::new_empty"}))
      return demand_slot(value.node, 1, axis, size);
    if (is_one_of(node, {"aten::arange"})) return demand_whole(value.node, 0, size);
    if (is_one_of(node, {"aten::arange.start", "aten::arange.start_step"}) && node.arguments[0].as_int() == 0)
      return demand_whole(value.node, 1, size);
    if (is_one_of(node, {"aten::repeat"})) return demand_repeat(value, axis, size);
    return demand_behind(value, axis, size);
  }

  bool demand_slot(NodeId id, std::size_t slot, std::size_t axis, IntExpr size) {
    const ArgumentList* list = graph_.node(id).arguments[slot].list();
    if (list == nullptr || axis >= list->size()) return false;
    ArgumentList changed = *list;
    if (changed[axis].integer() == nullptr || *changed[axis].integer() == size) return false;
    changed[axis] = size;
    return set_demand(id, slot, std::move(changed));
  }

  bool demand_whole(NodeId id, std::size_t slot, IntExpr size) { return set_demand(id, slot, size); }

  bool demand_repeat(ValueId value, std::size_t axis, IntExpr size) {
    const ArgumentList* list = graph_.node(value.node).arguments[1].list();
    const auto input = self(value.node);
    const Sizes* from = input ? sizes(*input) : nullptr;
    if (list == nullptr || from == nullptr || axis >= list->size() || list->size() < from->size()) return false;
    const std::size_t added = list->size() - from->size();
    const auto one = axis < added ? std::optional<int64_t>(1) : (*from)[axis - added].constant();
    if (!one || *one != 1) return false;
    return demand_slot(value.node, 1, axis, size);
  }

  /// Through ops that keep an axis.
  bool demand_behind(ValueId value, std::size_t axis, IntExpr size) {
    const Node& node = graph_.node(value.node);
    const std::size_t rank = sizes(value)->size();
    if (is_one_of(node, {"aten::transpose.int"})) {
      const auto a = axis_of(node.arguments[1], rank), b = axis_of(node.arguments[2], rank);
      if (!a || !b || !self(value.node)) return false;
      return demand(*self(value.node), axis == *a ? *b : (axis == *b ? *a : axis), size);
    }
    if (is_one_of(node, {"aten::permute"})) {
      const ArgumentList* dims = node.arguments[1].list();
      const auto from = dims != nullptr && axis < dims->size() ? axis_of((*dims)[axis], rank) : std::nullopt;
      return from && self(value.node) && demand(*self(value.node), *from, size);
    }
    if (is_one_of(node, {"aten::unsqueeze"})) {
      const auto added = axis_of(node.arguments[1], rank);
      if (!added || *added == axis || !self(value.node)) return false;
      return demand(*self(value.node), axis > *added ? axis - 1 : axis, size);
    }
    return demand_broadcast(node, rank, axis, size);
  }

  /// Elementwise ops and others that keep the shape of their operands.
  bool demand_broadcast(const Node& node, std::size_t rank, std::size_t axis, IntExpr size) {
    const bool keeps_shape =
        node.op->traits.is_elementwise ||
        is_one_of(node, {"aten::clone", "aten::contiguous", "aten::to.dtype", "aten::to.device", "aten::slice.Tensor",
                         "aten::dropout", "aten::add.Tensor", "aten::mul.Tensor"});
    if (!keeps_shape) return false;
    bool changed = false;
    for (const Argument& argument : node.arguments) {
      graph::for_each_value(argument, [&](ValueId operand) {
        const Sizes* has = sizes(operand);
        if (has == nullptr || has->size() > rank || axis < rank - has->size()) return;
        changed = demand(operand, axis - (rank - has->size()), size) || changed;
      });
    }
    return changed;
  }

  bool set_demand(NodeId id, std::size_t slot, Argument argument) {
    auto& slots = demanded_[id];
    const auto known = slots.find(slot);
    if (known != slots.end() && known->second == argument) return false;
    slots[slot] = std::move(argument);
    const auto& order = graph_.order();
    const auto position = static_cast<std::size_t>(std::find(order.begin(), order.end(), id) - order.begin());
    resume_ = std::min(resume_.value_or(position), position);
    return true;
  }

  /// What a run returns per sample has the batch as its first axis.
  void check_outputs() const {
    for (const graph::Output& output : graph_.eval_outputs) {
      const ValueId* value = output.value.value();
      if (value == nullptr || graph_.as_parameter(*value) != nullptr) continue;
      const Sizes* found = sizes(*value);
      if (found == nullptr || found->empty() || is_batched(*value, 0) || !has_batch_origin(*value)) continue;
      fail<Unsupported>("output '{}' loses the batch", output.name);
    }
  }

  bool has_batch_origin(ValueId value) const { return sizes(value)->front() == IntExpr(batch_); }

  const Graph& fixed_;
  Graph graph_;
  int64_t batch_;
  IntExpr symbol_;
  std::map<ValueId, FactoredShape> places_;
  std::map<NodeId, FactoredShape> reshaped_;
  std::map<NodeId, std::map<std::size_t, Argument>> demanded_;
  std::vector<Choice> choices_;
  std::optional<std::size_t> resume_;
  std::optional<Refusal> refusal_;
};

std::optional<int64_t> fixed_batch(const Graph& graph) {
  for (const graph::InputSpec& input : graph.inputs) {
    const TensorType* type = input.type.tensor();
    if (type == nullptr || !type->sizes || type->sizes->empty()) continue;
    for (const IntExpr& size : *type->sizes) {
      if (!size.is_constant()) return std::nullopt;
    }
    return type->sizes->front().constant();
  }
  return std::nullopt;
}

std::string advice(const Graph& graph) {
  std::string line = "Export with dynamic_shapes={";
  for (std::size_t i = 0; i < graph.inputs.size(); ++i)
    line += fmt::format("{}\"{}\": {{0: torch.export.Dim(\"batch\")}}", i == 0 ? "" : ", ", graph.inputs[i].name);
  return line + "} to free the batch size.";
}

}  // namespace

BatchAxisResult free_batch_axis(Graph& graph) {
  const std::optional<int64_t> batch = fixed_batch(graph);
  if (!batch || *batch < 1) return {};
  const auto refused = [&](const std::string& why) { return BatchAxisResult{.reason = why + ". " + advice(graph)}; };
  Propagation propagation(graph, *batch);
  std::optional<Graph> freed = propagation.run();
  if (!freed) return refused(propagation.refusal() ? propagation.refusal()->text : "sizes don't follow the batch");
  try {
    const std::string why = batch_disproof(graph, *freed, *batch);
    if (!why.empty()) return refused(why);
  } catch (const Error& error) {
    return refused(error.what());
  }
  graph = std::move(*freed);
  return {.is_freed = true, .reason = {}};
}

}  // namespace limbeck::passes
