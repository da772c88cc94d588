#include "limbeck/graph/graph.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <utility>

#include <ATen/ATen.h>

#include "limbeck/core/error.h"

namespace limbeck::graph {

namespace {

std::vector<std::string> keys_of(const auto& map) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : map) keys.push_back(key);
  return keys;
}

std::optional<uint32_t> parse_index(std::string_view digits) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size() || digits.empty()) return std::nullopt;
  return value;
}

bool is_structural(const Node& node) { return node.op->is("limbeck::input") || node.op->is("limbeck::parameter"); }

std::size_t num_components(std::string_view path) {
  return path.empty() ? 0 : static_cast<std::size_t>(std::count(path.begin(), path.end(), '.')) + 1;
}

/// Base of made-up value names: "aten::add.Tensor" -> "add".
std::string short_op_name(const std::string& op) {
  const std::size_t start = op.find("::") + 2;
  return op.substr(start, op.find('.', start) - start);
}

}  // namespace

Type type_of_tensor(const at::Tensor& tensor) {
  return {TensorType{.dtype = tensor.scalar_type(),
                     .sizes = Sizes(tensor.sizes().begin(), tensor.sizes().end()),
                     .strides = std::nullopt,
                     .device = tensor.device(),
                     .requires_grad = tensor.requires_grad()}};
}

ScopePath parse_scope_path(std::string_view text) {
  ScopePath path;
  std::string_view rest = text;
  const auto cut = [&](char mark) -> std::optional<uint32_t> {
    const std::size_t position = rest.rfind(mark);
    if (position == std::string_view::npos) return std::nullopt;
    const std::optional<uint32_t> index = parse_index(rest.substr(position + 1));
    LIMBECK_CHECK(index.has_value(), "[graph] '{}' is not of the form scope[@call][#i]", text);
    rest = rest.substr(0, position);
    return index;
  };
  path.index = cut('#');
  path.call = cut('@');
  path.scope = std::string(rest);
  return path;
}

Node& NodeStore::edit(NodeId id) {
  std::shared_ptr<Chunk>& chunk = chunks_[id / kChunk];
  if (chunk.use_count() > 1) chunk = std::make_shared<Chunk>(*chunk);
  return (*chunk)[id % kChunk];
}

NodeId NodeStore::push_back(Node node) {
  if (size_ % kChunk == 0) {
    chunks_.push_back(std::make_shared<Chunk>());
    chunks_.back()->reserve(kChunk);
  }
  std::shared_ptr<Chunk>& chunk = chunks_.back();
  if (chunk.use_count() > 1) chunk = std::make_shared<Chunk>(*chunk);
  chunk->push_back(std::move(node));
  return size_++;
}

std::string Graph::unused_name(const std::string& base) {
  if (value_names_.count(base) == 0) return base;
  uint32_t& next = next_suffix_[base];
  for (;;) {
    std::string candidate = base + "_" + std::to_string(++next);
    if (value_names_.count(candidate) == 0) return candidate;
  }
}

void Graph::rename(ValueId value, std::string_view name) {
  std::string& stored = nodes_.edit(value.node).names[value.output];
  if (stored == name) return;
  value_names_.erase(stored);
  stored = unused_name(std::string(name));
  value_names_.emplace(stored, value);
}

NodeId Graph::append(Node node) {
  LIMBECK_ASSERT(node.op != nullptr, "[graph] a node needs an op");
  node.names.resize(node.types.size());
  const bool structural = is_structural(node);
  for (uint32_t output = 0; output < node.names.size(); ++output) {
    std::string& name = node.names[output];
    name = unused_name(name.empty() ? short_op_name(node.op->name) : name);
    value_names_.emplace(name, ValueId{nodes_.size(), output});
  }
  const NodeId id = nodes_.push_back(std::move(node));
  if (structural) {
    order_.insert(order_.begin() + static_cast<std::ptrdiff_t>(num_structural_++), id);
  } else {
    order_.push_back(id);
  }
  return id;
}

NodeId Graph::insert_before(NodeId position, Node node) {
  const NodeId id = append(std::move(node));
  order_.pop_back();
  order_.insert(std::find(order_.begin(), order_.end(), position), id);
  return id;
}

NodeId Graph::insert_after(NodeId position, Node node) {
  const NodeId id = append(std::move(node));
  order_.pop_back();
  auto place = std::find(order_.begin(), order_.end(), position);
  LIMBECK_ASSERT(place != order_.end(), "[graph] node {} is not live", position);
  place = std::max(place + 1, order_.begin() + static_cast<std::ptrdiff_t>(num_structural_));
  order_.insert(place, id);
  return id;
}

void Graph::reorder(std::vector<NodeId> order) {
  LIMBECK_ASSERT(order.size() == order_.size(), "[graph] reorder must keep all {} nodes", order_.size());
  order_ = std::move(order);
}

void Graph::erase(NodeId id) {
  for (uint32_t output = 0; output < nodes_[id].types.size(); ++output) {
    const ValueId value{id, output};
    LIMBECK_ASSERT(users(value).empty() && !is_interface(value), "[graph] cannot erase %{}: it is still used",
                   nodes_[id].names[output]);
  }
  const auto place = std::find(order_.begin(), order_.end(), id);
  LIMBECK_ASSERT(place != order_.end(), "[graph] node {} is not live", id);
  if (is_structural(nodes_[id])) {
    --num_structural_;
    std::erase_if(structural_, [id](const auto& entry) { return entry.second == id; });
  }
  order_.erase(place);
  for (const std::string& name : nodes_[id].names) value_names_.erase(name);
  for (ScopeOutputs& outputs : scope_outputs) {
    std::erase_if(outputs.values, [id](ValueId value) { return value.node == id; });
  }
}

bool Graph::is_live(NodeId id) const {
  return id < nodes_.size() && std::find(order_.begin(), order_.end(), id) != order_.end();
}

std::optional<ValueId> Graph::find_value(std::string_view name) const {
  const auto found = value_names_.find(name);
  return found == value_names_.end() ? std::nullopt : std::optional(found->second);
}

void Graph::replace_all_uses(ValueId from, ValueId to) {
  const auto map = [&](ValueId value) { return value == from ? to : value; };
  for (const NodeId user : users(from)) {
    if (user == to.node) continue;
    for (Argument& argument : nodes_.edit(user).arguments) map_values(argument, map);
  }
  for (auto* outputs : {&train_outputs, &eval_outputs}) {
    for (Output& output : *outputs) map_values(output.value, map);
  }
  for (StateWrite& write : state_writes) write.value = map(write.value);
  for (ScopeOutputs& outputs : scope_outputs) {
    for (ValueId& value : outputs.values) value = map(value);
  }
}

std::vector<NodeId> Graph::users(ValueId value) const {
  std::vector<NodeId> result;
  for (const NodeId id : order_) {
    bool uses = false;
    for (const Argument& argument : nodes_[id].arguments)
      for_each_value(argument, [&](ValueId used) { uses |= used == value; });
    if (uses) result.push_back(id);
  }
  return result;
}

bool Graph::is_interface(ValueId value) const {
  bool found = false;
  for (const auto* outputs : {&train_outputs, &eval_outputs}) {
    for (const Output& output : *outputs) for_each_value(output.value, [&](ValueId used) { found |= used == value; });
  }
  for (const StateWrite& write : state_writes) found |= write.value == value;
  return found;
}

bool Graph::is_exported(ValueId value) const {
  bool found = is_interface(value);
  for (const ScopeOutputs& outputs : scope_outputs) {
    found |= std::find(outputs.values.begin(), outputs.values.end(), value) != outputs.values.end();
  }
  return found;
}

ValueId Graph::input_value(std::size_t index) {
  if (const auto found = find_input_value(index)) return *found;
  LIMBECK_CHECK(index < inputs.size(), "[graph] input {} does not exist: the graph has {}", index, inputs.size());
  Node node{.op = &op_info("limbeck::input")};
  node.arguments = {static_cast<int64_t>(index)};
  node.types = {inputs[index].type};
  node.names = {inputs[index].name};
  return {structural_["i" + std::to_string(index)] = append(std::move(node)), 0};
}

std::optional<ValueId> Graph::find_input_value(std::size_t index) const {
  const auto found = structural_.find("i" + std::to_string(index));
  return found == structural_.end() ? std::nullopt : std::optional(ValueId{found->second, 0});
}

void Graph::add_parameter(Parameter parameter) {
  LIMBECK_CHECK(parameter_index_.count(parameter.name) == 0, "[graph] parameter '{}' exists already", parameter.name);
  parameter_index_.emplace(parameter.name, parameters_.size());
  parameters_.push_back(std::move(parameter));
}

const Parameter* Graph::find_parameter(std::string_view name) const {
  const auto found = parameter_index_.find(name);
  return found == parameter_index_.end() ? nullptr : &parameters_[found->second];
}

const Parameter& Graph::parameter(std::string_view name) const {
  const Parameter* found = find_parameter(name);
  LIMBECK_CHECK(found != nullptr, "[graph] no parameter '{}'.{}", name, nearest_hint(name, keys_of(parameter_index_)));
  return *found;
}

void Graph::set_parameter_tensor(std::string_view name, at::Tensor tensor) {
  parameter(name);
  parameters_[parameter_index_.find(name)->second].tensor = std::move(tensor);
}

void Graph::erase_parameter(std::string_view name) {
  parameter(name);
  const auto found = parameter_index_.find(name);
  const std::size_t index = found->second;
  parameters_.erase(parameters_.begin() + static_cast<std::ptrdiff_t>(index));
  parameter_index_.erase(found);
  for (auto& entry : parameter_index_) entry.second -= entry.second > index ? 1 : 0;
}

ValueId Graph::parameter_value(std::string_view name) {
  const std::string key = "p" + std::string(name);
  if (const auto found = structural_.find(key); found != structural_.end()) return {found->second, 0};
  Node node{.op = &op_info("limbeck::parameter")};
  node.arguments = {std::string(name)};
  node.types = {type_of_tensor(parameter(name).tensor)};
  node.names = {std::string(name)};
  return {structural_[key] = append(std::move(node)), 0};
}

const Parameter* Graph::as_parameter(ValueId value) const {
  const Node& made_by = nodes_[value.node];
  return made_by.op->is("limbeck::parameter") ? find_parameter(*made_by.arguments[0].text()) : nullptr;
}

ScopeId Graph::add_scope(std::string_view path, std::string_view type) {
  if (const auto found = scope_index_.find(path); found != scope_index_.end()) {
    if (!type.empty()) scopes_[found->second].type = std::string(type);
    return found->second;
  }
  if (const std::size_t dot = path.rfind('.'); dot != std::string_view::npos) add_scope(path.substr(0, dot));
  scopes_.push_back({.path = std::string(path), .type = std::string(type)});
  const auto id = static_cast<ScopeId>(scopes_.size() - 1);
  scope_index_.emplace(std::string(path), id);
  return id;
}

std::optional<ScopeId> Graph::find_scope(std::string_view path) const {
  const auto found = scope_index_.find(path);
  return found == scope_index_.end() ? std::nullopt : std::optional(found->second);
}

ValueId Graph::resolve(std::string_view scope_path) const {
  const ScopePath path = parse_scope_path(scope_path);
  const std::optional<ScopeId> id = find_scope(path.scope);
  std::vector<std::string> candidates;
  for (const ScopeOutputs& outputs : scope_outputs) {
    if (outputs.values.empty()) continue;
    if (outputs.call == 0) candidates.push_back(scopes_[outputs.scope].path);
    if (outputs.scope != id || outputs.call != path.call.value_or(0)) continue;
    const uint32_t index = path.index.value_or(0);
    LIMBECK_CHECK(index < outputs.values.size(), "[graph] scope '{}' has {} values, so '#{}' does not exist",
                  path.scope, outputs.values.size(), index);
    return outputs.values[index];
  }
  LIMBECK_CHECK(!id, "[graph] scope '{}' left no value at call {} of the graph.{}", path.scope, path.call.value_or(0),
                nearest_hint(path.scope, candidates));
  fail<InvalidArgument>("[graph] no scope '{}'.{}", path.scope, nearest_hint(path.scope, candidates));
}

RegionId Graph::add_region(const Region& region) {
  const auto found = std::find(regions_.begin(), regions_.end(), region);
  if (found != regions_.end()) return static_cast<RegionId>(found - regions_.begin());
  regions_.push_back(region);
  return static_cast<RegionId>(regions_.size() - 1);
}

CallsId Graph::add_outer_calls(std::vector<uint32_t> calls) {
  while (!calls.empty() && calls.back() == 0) calls.pop_back();
  const auto found = std::find(outer_calls_.begin(), outer_calls_.end(), calls);
  if (found != outer_calls_.end()) return static_cast<CallsId>(found - outer_calls_.begin());
  outer_calls_.push_back(std::move(calls));
  return static_cast<CallsId>(outer_calls_.size() - 1);
}

uint32_t Graph::call_at(const Node& node, std::size_t depth) const {
  if (depth + 1 == num_components(scopes_[node.scope].path)) return node.call;
  const std::vector<uint32_t>& calls = outer_calls_[node.outer_calls];
  return depth < calls.size() ? calls[depth] : 0;
}

Graph Graph::clone() const {
  Graph copy = *this;
  std::map<const void*, at::Tensor> by_identity, by_storage;
  for (Parameter& parameter : copy.parameters_) {
    const at::Tensor original = parameter.tensor;
    at::Tensor& made = by_identity[original.unsafeGetTensorImpl()];
    if (!made.defined()) {
      at::Tensor& bytes = by_storage[original.storage().unsafeGetStorageImpl()];
      if (!bytes.defined()) {
        bytes = at::empty({0}, at::TensorOptions().dtype(at::kByte).device(original.device()))
                    .set_(original.storage())
                    .clone();
      }
      made = at::empty({0}, original.options())
                 .set_(bytes.storage(), original.storage_offset(), original.sizes(), original.strides());
      made.set_requires_grad(original.requires_grad());
    }
    parameter.tensor = made;
  }
  return copy;
}

UseMap::UseMap(const Graph& graph) {
  for (const NodeId id : graph.order()) {
    for (const Argument& argument : graph.node(id).arguments) {
      for_each_value(argument, [&](ValueId value) {
        std::vector<NodeId>& users = users_[value];
        if (users.empty() || users.back() != id) users.push_back(id);
      });
    }
  }
  for (const Mode mode : {Mode::train, Mode::eval}) {
    for (const Output& output : graph.outputs(mode))
      for_each_value(output.value, [&](ValueId value) { ++extra_uses_[value]; });
  }
  for (const StateWrite& write : graph.state_writes) ++extra_uses_[write.value];
}

const std::vector<NodeId>& UseMap::users(ValueId value) const {
  static const std::vector<NodeId> none;
  const auto found = users_.find(value);
  return found == users_.end() ? none : found->second;
}

std::size_t UseMap::num_uses(ValueId value) const {
  const auto extra = extra_uses_.find(value);
  return users(value).size() + (extra == extra_uses_.end() ? 0 : extra->second);
}

namespace {

/// Marks what the given roots reach. `arguments_of` visits the values that a node needs.
template <class ArgumentsOf>
std::vector<bool> reachable(const Graph& graph, std::vector<ValueId> roots, const ArgumentsOf& arguments_of) {
  std::vector<bool> live(graph.num_ids(), false);
  while (!roots.empty()) {
    const ValueId value = roots.back();
    roots.pop_back();
    if (live[value.node]) continue;
    live[value.node] = true;
    arguments_of(graph.node(value.node), [&](ValueId used) { roots.push_back(used); });
  }
  return live;
}

void add_roots(const Graph& graph, Mode mode, const std::function<Mode(ScopeId)>& mode_of,
               std::vector<ValueId>& roots) {
  for (const Output& output : graph.outputs(mode))
    for_each_value(output.value, [&](ValueId value) { roots.push_back(value); });
  for (const StateWrite& write : graph.state_writes) {
    if (contains(write.when, mode_of(write.scope))) roots.push_back(write.value);
  }
}

void add_side_effects(const Graph& graph, std::vector<ValueId>& roots) {
  for (const NodeId id : graph.order()) {
    if (graph.node(id).op->traits.has_side_effect) roots.push_back({id, 0});
  }
}

}  // namespace

bool eliminate_dead_nodes(Graph& graph) {
  std::vector<ValueId> roots;
  for (const Mode mode : {Mode::train, Mode::eval})
    add_roots(
        graph, mode, [mode](ScopeId) { return mode; }, roots);
  add_side_effects(graph, roots);
  const std::vector<bool> live = reachable(graph, std::move(roots), [](const Node& node, const auto& visit) {
    for (const Argument& argument : node.arguments) for_each_value(argument, visit);
  });
  std::vector<NodeId> dead;
  for (const NodeId id : graph.order()) {
    if (!live[id]) dead.push_back(id);
  }
  for (auto id = dead.rbegin(); id != dead.rend(); ++id) graph.erase(*id);
  return !dead.empty();
}

std::vector<NodeId> needed_nodes(const Graph& graph, Mode mode, const std::function<Mode(ScopeId)>& mode_of,
                                 const std::vector<ValueId>& taps) {
  std::vector<ValueId> roots = taps;
  add_roots(graph, mode, mode_of, roots);
  add_side_effects(graph, roots);
  const std::vector<bool> live = reachable(graph, std::move(roots), [&](const Node& node, const auto& visit) {
    if (node.op->is("limbeck::by_mode")) {
      for_each_value(node.arguments[mode_of(node.scope) == Mode::train ? 0 : 1], visit);
      return;
    }
    for (const Argument& argument : node.arguments) for_each_value(argument, visit);
  });
  std::vector<NodeId> needed;
  for (const NodeId id : graph.order()) {
    if (live[id]) needed.push_back(id);
  }
  return needed;
}

namespace {

/// One call of one module, and the part of a path that names it.
struct Invocation {
  ScopeId scope = 0;
  uint32_t call = 0;
  friend auto operator<=>(const Invocation&, const Invocation&) = default;
};

/// The invocations that a node stands in, outermost (the root) first.
std::vector<Invocation> invocations_of(const Graph& graph, const Node& node) {
  std::vector<Invocation> result{{}};
  const std::string& path = graph.scope(node.scope).path;
  if (path.empty()) return result;
  std::size_t depth = 0;
  for (std::size_t end = path.find('.');; end = path.find('.', end + 1)) {
    const ScopeId scope = *graph.find_scope(std::string_view(path).substr(0, end));
    result.push_back({.scope = scope, .call = graph.call_at(node, depth++)});
    if (end == std::string::npos) return result;
  }
}

}  // namespace

void number_scope_outputs(Graph& graph) {
  graph.scope_outputs.clear();
  const UseMap uses(graph);
  std::map<NodeId, std::vector<Invocation>> invocations;
  for (const NodeId id : graph.order()) invocations[id] = invocations_of(graph, graph.node(id));
  std::map<Invocation, std::size_t> index;
  const auto record = [&](const Invocation& at, ValueId value) {
    const auto [slot, is_new] = index.try_emplace(at, graph.scope_outputs.size());
    if (is_new) graph.scope_outputs.push_back({.scope = at.scope, .call = at.call, .values = {}});
    graph.scope_outputs[slot->second].values.push_back(value);
  };
  std::set<ValueId> outputs;
  for (const Mode mode : {Mode::train, Mode::eval}) {
    for (const Output& output : graph.outputs(mode))
      for_each_value(output.value, [&](ValueId value) { outputs.insert(value); });
  }
  // How many of the invocations around `value`, from the outermost, contain all of its uses. A write to a buffer is no
  // use outside: the first value of a BatchNorm is what it returns, not its counter.
  const auto num_containing = [&](ValueId value, const std::vector<Invocation>& around) -> std::size_t {
    const std::vector<NodeId>& users = uses.users(value);
    if (outputs.count(value) != 0) return 0;
    std::size_t common = around.size();
    for (const NodeId user : users) {
      const std::vector<Invocation>& other = invocations[user];
      const auto end = std::mismatch(around.begin(), around.end(), other.begin(), other.end()).first;
      common = std::min(common, static_cast<std::size_t>(end - around.begin()));
    }
    return common;
  };
  for (const NodeId id : graph.order()) {
    const Node& node = graph.node(id);
    if (is_structural(node)) continue;
    const std::vector<Invocation>& around = invocations[id];
    for (uint32_t output = 0; output < node.types.size(); ++output) {
      const std::size_t containing = num_containing({id, output}, around);
      for (std::size_t i = around.size(); i > containing; --i) record(around[i - 1], {id, output});
    }
  }
}

}  // namespace limbeck::graph
