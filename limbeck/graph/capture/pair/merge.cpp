#include "limbeck/graph/capture/pair/merge.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "limbeck/core/error.h"
#include "limbeck/graph/builder.h"
#include "limbeck/graph/capture/pair/align.h"
#include "limbeck/graph/capture/pair/evaluate.h"
#include "limbeck/graph/capture/pair/mode.h"
#include "limbeck/graph/capture/pair/slice.h"
#include "limbeck/graph/capture/pt2/symbols.h"

namespace limbeck::capture {

using graph::Argument;
using graph::Graph;
using graph::IntExpr;
using graph::Mode;
using graph::ModeKind;
using graph::Node;
using graph::NodeId;
using graph::ValueId;

namespace {

/// A stack trace without the folders of the machine that it was taken on.
std::string portable_trace(const std::string& trace) {
  constexpr std::string_view kFile = "File \"";
  std::string result;
  std::size_t at = 0;
  for (std::size_t start = trace.find(kFile); start != std::string::npos; start = trace.find(kFile, at)) {
    const std::size_t path = start + kFile.size(), end = std::min(trace.find('"', path), trace.size());
    const std::size_t slash = trace.rfind('/', end);
    result.append(trace, at, path - at);
    at = slash == std::string::npos || slash < path ? path : slash + 1;
    result.append(trace, at, end - at);
    at = end;
  }
  return result.append(trace, at, std::string::npos);
}

/// Bit for bit, NaN included.
bool is_equal(const at::Tensor& a, const at::Tensor& b) {
  if (a.is_same(b)) return true;
  if (a.scalar_type() != b.scalar_type() || a.sizes() != b.sizes()) return false;
  const at::Tensor x = a.contiguous(), y = b.contiguous();
  return x.numel() == 0 || std::memcmp(x.const_data_ptr(), y.const_data_ptr(), x.nbytes()) == 0;
}

/// One of the two exports, and where its values are in the merged graph.
struct Side {
  Mode mode;
  const Export* source;
  std::vector<NodeId> nodes;  // that compute, in order
  std::map<ValueId, ValueId> merged;
  std::map<ValueId, ValueId> constants;  // merged expression -> the constant that this export had in its place

  const Graph& graph() const { return source->graph; }
};

class Merger {
 public:
  Merger(const Export& eval, const Export& train)
      : eval_{.mode = Mode::eval, .source = &eval, .nodes = {}, .merged = {}, .constants = {}},
        train_{.mode = Mode::train, .source = &train, .nodes = {}, .merged = {}, .constants = {}} {}

  Export run() {
    copy_interface();
    join_parameters();
    join_inputs();
    for (Side* side : {&eval_, &train_}) list_nodes(*side);
    merge_nodes();
    merge_outputs();
    merge_writes();
    check_slices();
    drop_unused_constants();
    return std::move(result_);
  }

 private:
  Graph& out() { return result_.graph; }

  // --- interface -------------------------------------------------------------------------------------------------

  void copy_interface() {
    const Export& eval = *eval_.source;
    result_.hints = eval.hints;
    result_.modules = eval.modules;
    result_.notes = eval.notes;
    for (const std::string& note : train_.source->notes) {
      if (std::find(result_.notes.begin(), result_.notes.end(), note) == result_.notes.end())
        result_.notes.push_back(note);
    }
    out().metadata = eval.graph.metadata;
    out().inputs = eval.graph.inputs;
    out().input_tree = eval.graph.input_tree;
    for (const Side* side : {&eval_, &train_}) {
      for (const graph::Scope& scope : side->graph().scopes()) out().add_scope(scope.path, scope.type);
      for (const graph::Region& region : side->graph().regions()) out().add_region(region);
      for (const graph::Check& check : side->graph().checks) add_check(check);
      for (const graph::Range& range : side->graph().ranges) add_range(range);
    }
  }

  void add_check(const graph::Check& check) {
    for (const graph::Check& known : out().checks) {
      if (known.left == check.left && known.right == check.right && known.relation == check.relation) return;
    }
    out().checks.push_back(check);
  }

  void add_range(const graph::Range& range) {
    for (graph::Range& known : out().ranges) {
      if (known.symbol != range.symbol) continue;
      known.min = std::max(known.min, range.min);
      known.max = std::min(known.max, range.max);
      return;
    }
    out().ranges.push_back(range);
  }

  void join_inputs() {
    const auto &eval = eval_.graph().inputs, &train = train_.graph().inputs;
    LIMBECK_CHECK(eval.size() == train.size(), "[capture] the eval export takes {} inputs and the train export {}",
                  eval.size(), train.size());
    for (std::size_t i = 0; i < eval.size(); ++i) {
      LIMBECK_CHECK(
          eval[i].type == train[i].type,
          "[capture] input '{}' has other sizes in the eval than in the train export. Export both with the same "
          "dynamic_shapes=.",
          eval[i].name);
      for (Side* side : {&eval_, &train_}) {
        if (const auto value = side->graph().find_input_value(i)) side->merged[*value] = out().input_value(i);
      }
    }
  }

  void join_parameters() {
    for (Side* side : {&eval_, &train_}) {
      for (const graph::Parameter& parameter : side->graph().parameters()) {
        const std::string name =
            side->source->lifted.count(parameter.name) != 0 ? join_constant(parameter) : join_weight(parameter);
        if (const auto value = find_parameter_value(side->graph(), parameter.name))
          side->merged[*value] = out().parameter_value(name);
      }
    }
  }

  static std::optional<ValueId> find_parameter_value(const Graph& graph, const std::string& name) {
    for (const NodeId id : graph.order()) {
      const graph::Parameter* parameter = graph.as_parameter({id, 0});
      if (parameter != nullptr && parameter->name == name) return ValueId{id, 0};
    }
    return std::nullopt;
  }

  std::string join_weight(const graph::Parameter& parameter) {
    const graph::Parameter* known = out().find_parameter(parameter.name);
    if (known == nullptr) {
      out().add_parameter(parameter);
    } else {
      LIMBECK_CHECK(
          known->is_buffer == parameter.is_buffer && is_equal(known->tensor, parameter.tensor),
          "[capture] '{}' differs between the eval and the train export: they are exports of different models, or "
          "of one model at different times. Export both from the same weights.",
          parameter.name);
    }
    return parameter.name;
  }

  /// Lifted constants are numbered anew in each export: they are joined by value.
  std::string join_constant(const graph::Parameter& parameter) {
    for (const std::string& name : result_.lifted) {
      if (is_equal(out().parameter(name).tensor, parameter.tensor)) return name;
    }
    std::string name = parameter.name;
    for (int i = 1; out().find_parameter(name) != nullptr; ++i) name = parameter.name + "_" + std::to_string(i);
    graph::Parameter renamed = parameter;
    renamed.name = name;
    out().add_parameter(std::move(renamed));
    result_.lifted.insert(name);
    return name;
  }

  static void list_nodes(Side& side) {
    for (const NodeId id : side.graph().order()) {
      const Node& node = side.graph().node(id);
      if (!node.op->is("limbeck::input") && !node.op->is("limbeck::parameter")) side.nodes.push_back(id);
    }
  }

  // --- nodes -------------------------------------------------------------------------------------------------------

  /// Interned (scope with call numbers, op, stack trace) of every node.
  std::vector<uint32_t> keys(const Side& side) {
    std::vector<uint32_t> result;
    for (const NodeId id : side.nodes) {
      const Node& node = side.graph().node(id);
      std::string key = side.graph().scope(node.scope).path + '\n' + std::to_string(node.call);
      for (const uint32_t call : side.graph().outer_calls(node.outer_calls)) key += '.' + std::to_string(call);
      key += '\n' + node.op->name + '\n' + portable_trace(side.source->trace(id));
      result.push_back(key_ids_.emplace(std::move(key), static_cast<uint32_t>(key_ids_.size())).first->second);
    }
    return result;
  }

  void merge_nodes() {
    std::size_t next_eval = 0, next_train = 0;
    for (const auto& [eval, train] : longest_common_subsequence(keys(eval_), keys(train_))) {
      while (next_eval < eval) add_left_over(eval_, eval_.nodes[next_eval++]);
      while (next_train < train) add_left_over(train_, train_.nodes[next_train++]);
      add_pair(eval_.nodes[next_eval++], train_.nodes[next_train++]);
    }
    while (next_eval < eval_.nodes.size()) add_left_over(eval_, eval_.nodes[next_eval++]);
    while (next_train < train_.nodes.size()) add_left_over(train_, train_.nodes[next_train++]);
  }

  Node placed(const Side& side, const Node& source) {
    Node node = source;
    node.names.clear();
    node.scope = *out().find_scope(side.graph().scope(source.scope).path);
    node.region = out().add_region(side.graph().regions()[source.region]);
    node.outer_calls = out().add_outer_calls(side.graph().outer_calls(source.outer_calls));
    return node;
  }

  void append(Node node, std::initializer_list<std::pair<Side*, NodeId>> origins) {
    const std::size_t outputs = node.types.size();
    node.names = origins.begin()->first->graph().node(origins.begin()->second).names;
    const NodeId id = out().append(std::move(node));
    for (const auto& [side, origin] : origins) {
      for (uint32_t output = 0; output < outputs; ++output) side->merged[{origin, output}] = {id, output};
    }
  }

  void add_left_over(Side& side, NodeId id) {
    Node node = placed(side, side.graph().node(id));
    for (Argument& argument : node.arguments)
      graph::map_values(argument, [&](ValueId value) { return side.merged.at(value); });
    node.pinned_flags = flags_to_pin(node, side.mode);
    append(std::move(node), {{&side, id}});
  }

  void add_pair(NodeId eval, NodeId train) {
    const Node &a = eval_.graph().node(eval), &b = train_.graph().node(train);
    Node node = placed(train_, b);
    const bool corresponds = a.types == b.types && a.arguments.size() == b.arguments.size() && same_region(a, b) &&
                             merge_flags(a, b, node) && merge_arguments(a, b, node);
    if (!corresponds) {
      add_left_over(eval_, eval);
      add_left_over(train_, train);
      return;
    }
    node.was_in_place = a.was_in_place && b.was_in_place;
    append(std::move(node), {{&eval_, eval}, {&train_, train}});
  }

  bool same_region(const Node& eval, const Node& train) const {
    return eval_.graph().regions()[eval.region] == train_.graph().regions()[train.region];
  }

  /// Differing mode arguments follow train() and eval(); equal ones that say the same in both modes are pinned.
  static bool merge_flags(const Node& eval, const Node& train, Node& node) {
    const auto& arguments = node.op->traits.mode_arguments;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
      const Argument &a = eval.arguments[arguments[i].slot], &b = train.arguments[arguments[i].slot];
      if (a == b) {
        const bool is_nothing = arguments[i].kind == ModeKind::probability && b.as_double() == 0.0;
        if (!is_nothing) node.pinned_flags |= uint64_t{1} << i;
      } else if (arguments[i].kind == ModeKind::flag) {
        if (a.as_bool() != false || b.as_bool() != true) return false;
      } else if (a.as_double() != 0.0) {
        return false;
      }
    }
    return true;
  }

  static bool is_mode_argument(const Node& node, std::size_t slot) {
    const auto& arguments = node.op->traits.mode_arguments;
    return std::any_of(arguments.begin(), arguments.end(),
                       [slot](const graph::ModeArgument& argument) { return argument.slot == slot; });
  }

  bool merge_arguments(const Node& eval, const Node& train, Node& node) {
    for (std::size_t slot = 0; slot < node.arguments.size(); ++slot) {
      if (!is_mode_argument(node, slot) && !can_merge(eval.arguments[slot], train.arguments[slot])) return false;
    }
    for (std::size_t slot = 0; slot < node.arguments.size(); ++slot) {
      if (!is_mode_argument(node, slot))
        node.arguments[slot] = merged(eval.arguments[slot], train.arguments[slot], node);
    }
    return true;
  }

  bool can_merge(const Argument& eval, const Argument& train) const {
    if (eval.value() != nullptr && train.value() != nullptr) {
      return eval_.graph().type(*eval.value()) == train_.graph().type(*train.value()) ||
             same_dtype(eval_.graph().type(*eval.value()), train_.graph().type(*train.value()));
    }
    if (eval.list() != nullptr && train.list() != nullptr) {
      return std::equal(eval.list()->begin(), eval.list()->end(), train.list()->begin(), train.list()->end(),
                        [this](const Argument& a, const Argument& b) { return can_merge(a, b); });
    }
    return eval == train;
  }

  static bool same_dtype(const graph::Type& a, const graph::Type& b) {
    return a.tensor() != nullptr && b.tensor() != nullptr && a.tensor()->dtype == b.tensor()->dtype &&
           a.tensor()->sizes == b.tensor()->sizes;
  }

  Argument merged(const Argument& eval, const Argument& train, const Node& user) {
    if (eval.value() != nullptr && train.value() != nullptr) return merged_value(*eval.value(), *train.value(), user);
    if (eval.list() == nullptr) return eval;
    graph::ArgumentList list;
    for (std::size_t i = 0; i < eval.list()->size(); ++i)
      list.push_back(merged((*eval.list())[i], (*train.list())[i], user));
    return list;
  }

  ValueId merged_value(ValueId eval, ValueId train, const Node& user) {
    const ValueId a = eval_.merged.at(eval), b = train_.merged.at(train);
    if (a == b) return a;
    if (stands_for(b, a)) return b;
    if (const auto expression = thawed(eval, train, a, b)) return *expression;
    return by_mode(a, b, user);
  }

  /// True when `train` is `eval` behind ops that pass their input on in eval mode: dropout, drop_path.
  bool stands_for(ValueId train, ValueId eval) const {
    while (train != eval) {
      const Node& node = result_.graph.node(train.node);
      Node in_eval = node;
      const auto& arguments = node.op->traits.mode_arguments;
      if (arguments.size() != 1 || arguments[0].kind != ModeKind::flag || node.pinned_flags != 0) return false;
      in_eval.arguments[arguments[0].slot] = false;
      if (!passes_input_on(in_eval) || node.arguments[0].value() == nullptr) return false;
      train = *node.arguments[0].value();
    }
    return true;
  }

  bool is_lifted(ValueId merged) const {
    const graph::Parameter* parameter = result_.graph.as_parameter(merged);
    return parameter != nullptr && result_.lifted.count(parameter->name) != 0;
  }

  /// One mode has a constant where the other computes from parameters: the expression, for both.
  std::optional<ValueId> thawed(ValueId eval, ValueId train, ValueId a, ValueId b) {
    if (is_lifted(a) == is_lifted(b)) return std::nullopt;
    Side& frozen = is_lifted(a) ? eval_ : train_;
    const Side& computing = is_lifted(a) ? train_ : eval_;
    Evaluator& evaluator = is_lifted(a) ? train_values_ : eval_values_;
    const ValueId constant = is_lifted(a) ? a : b, expression = is_lifted(a) ? b : a;
    const std::optional<at::Tensor> value = evaluator.evaluate(is_lifted(a) ? train : eval);
    if (!value) return std::nullopt;
    const graph::Parameter& parameter = *result_.graph.as_parameter(constant);
    if (!is_equal(*value, parameter.tensor)) {
      const Node& node = computing.graph().node((is_lifted(a) ? train : eval).node);
      fail<InvalidArgument>(
          "[capture] the {} export holds the constant '{}', which {} in '{}' computes from parameters in the {} "
          "export, "
          "with another value: the weights changed after the constant was made. Export both modes from a fresh model.",
          graph::mode_name(frozen.mode), parameter.name, node.op->name, computing.graph().scope(node.scope).path,
          graph::mode_name(computing.mode));
    }
    frozen.constants[expression] = constant;
    return expression;
  }

  ValueId by_mode(ValueId eval, ValueId train, const Node& user) {
    const auto [known, is_new] = by_mode_.try_emplace({eval, train, user.scope, user.call, user.outer_calls});
    if (!is_new) return known->second;
    Node node{.op = &graph::op_info("limbeck::by_mode")};
    node.arguments = {train, eval};
    node.types = {out().type(train)};
    node.scope = user.scope;
    node.call = user.call;
    node.outer_calls = user.outer_calls;
    return known->second = ValueId{out().append(std::move(node)), 0};
  }

  // --- results -----------------------------------------------------------------------------------------------------

  void merge_outputs() {
    for (const Side* side : {&eval_, &train_}) {
      auto& outputs = side->mode == Mode::eval ? out().eval_outputs : out().train_outputs;
      outputs = side->graph().eval_outputs;
      for (graph::Output& output : outputs)
        graph::map_values(output.value, [&](ValueId value) { return side->merged.at(value); });
    }
    out().eval_tree = eval_.graph().eval_tree;
    out().train_tree = train_.graph().eval_tree;
  }

  void merge_writes() {
    for (const Side* side : {&eval_, &train_}) {
      for (graph::StateWrite write : side->graph().state_writes) {
        write.value = side->merged.at(write.value);
        write.scope = *out().find_scope(side->graph().scope(write.scope).path);
        write.when = side->mode;
        const auto same = [&](const graph::StateWrite& known) {
          return known.buffer == write.buffer && known.value == write.value;
        };
        const auto known = std::find_if(out().state_writes.begin(), out().state_writes.end(), same);
        if (known == out().state_writes.end()) {
          out().state_writes.push_back(write);
        } else {
          known->when = Mode::both;
        }
      }
    }
  }

  // --- proof -------------------------------------------------------------------------------------------------------

  void check_slices() {
    for (const Side* side : {&eval_, &train_}) {
      Graph sliced = out();
      for (const auto& [expression, constant] : side->constants) sliced.replace_all_uses(expression, constant);
      sliced = slice(sliced, side->mode);
      const std::string difference = first_difference(sliced, pinned_slice(*side));
      LIMBECK_CHECK(difference.empty(),
                    "[capture] the two exports can't be merged: in {} mode the merged graph is not the {} export ({})",
                    graph::mode_name(side->mode), graph::mode_name(side->mode), difference);
    }
  }

  static Graph pinned_slice(const Side& side) {
    Graph graph = side.graph();
    for (const NodeId id : side.nodes) {
      const std::size_t count = graph.node(id).op->traits.mode_arguments.size();
      if (count > 0) graph.edit(id).pinned_flags = (uint64_t{1} << count) - 1;
    }
    graph.train_outputs = graph.eval_outputs;
    graph.train_tree = graph.eval_tree;
    return slice(graph, side.mode);
  }

  void drop_unused_constants() {
    graph::eliminate_dead_nodes(out());
    for (const std::string& name : std::set<std::string>(result_.lifted)) {
      if (find_parameter_value(out(), name)) continue;
      out().erase_parameter(name);
      result_.lifted.erase(name);
    }
  }

  Side eval_, train_;
  Export result_;
  Evaluator eval_values_{eval_.source->graph}, train_values_{train_.source->graph};
  std::map<std::string, uint32_t> key_ids_;
  /// By both values and the place of the user, whose mode the node follows.
  std::map<std::tuple<ValueId, ValueId, graph::ScopeId, uint32_t, graph::CallsId>, ValueId> by_mode_;
};

/// The same export with its symbols called as in `model`, input by input.
Export with_symbols_of(const Export& model, const Export& source) {
  SymbolMap names;
  const auto &from = source.graph.inputs, &to = model.graph.inputs;
  for (std::size_t i = 0; i < std::min(from.size(), to.size()); ++i) {
    const graph::TensorType *a = from[i].type.tensor(), *b = to[i].type.tensor();
    if (a == nullptr || b == nullptr || a->sizes->size() != b->sizes->size()) continue;
    for (std::size_t axis = 0; axis < a->sizes->size(); ++axis) {
      const auto name = (*a->sizes)[axis].symbol_name();
      if (name && (*b->sizes)[axis].symbol_name()) names.emplace(*name, (*b->sizes)[axis]);
    }
  }
  std::erase_if(names, [](const auto& entry) { return entry.second == IntExpr::symbol(entry.first); });
  Export result = source;
  if (!names.empty()) substitute_symbols(result.graph, names);
  return result;
}

}  // namespace

Export merge(const Export& eval, const Export& train) { return Merger(eval, with_symbols_of(eval, train)).run(); }

}  // namespace limbeck::capture
