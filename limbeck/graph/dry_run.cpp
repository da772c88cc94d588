#include "limbeck/graph/dry_run.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/ivalue.h>
#include <c10/core/GradMode.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "limbeck/core/error.h"
#include "limbeck/graph/call_node.h"

namespace limbeck::graph {

namespace {

/// The default CPU generator's state, put back at the end of the block.
class KeptGenerator {
 public:
  KeptGenerator() : generator_(at::detail::getDefaultCPUGenerator()) {
    const std::lock_guard lock(generator_.mutex());
    state_ = generator_.get_state();
  }
  ~KeptGenerator() {
    const std::lock_guard lock(generator_.mutex());
    generator_.set_state(state_);
  }
  KeptGenerator(const KeptGenerator&) = delete;
  KeptGenerator& operator=(const KeptGenerator&) = delete;

 private:
  at::Generator generator_;
  at::Tensor state_;
};

/// The autocast that a node's region asks for, else none.
class RegionAutocast {
 public:
  explicit RegionAutocast(const std::optional<Region::Autocast>& region)
      : was_enabled_(at::autocast::is_autocast_enabled(at::kCPU)),
        previous_dtype_(at::autocast::get_autocast_dtype(at::kCPU)) {
    at::autocast::set_autocast_enabled(at::kCPU, region && region->enabled);
    if (region) at::autocast::set_autocast_dtype(at::kCPU, region->dtype);
  }
  ~RegionAutocast() {
    at::autocast::set_autocast_enabled(at::kCPU, was_enabled_);
    at::autocast::set_autocast_dtype(at::kCPU, previous_dtype_);
  }
  RegionAutocast(const RegionAutocast&) = delete;
  RegionAutocast& operator=(const RegionAutocast&) = delete;

 private:
  bool was_enabled_;
  at::ScalarType previous_dtype_;
};

/// What a run at one point gave: for each output its type with constant sizes.
using Observation = std::vector<Type>;

void collect_symbols(const Type& type, std::set<std::string>& symbols) {
  if (const TensorType* tensor = type.tensor(); tensor != nullptr && tensor->sizes) {
    for (const IntExpr& size : *tensor->sizes) symbols.merge(size.symbols());
  } else if (const auto* integer = std::get_if<IntType>(&type.kind)) {
    symbols.merge(integer->expr.symbols());
  } else if (const ListType* list = type.list()) {
    for (const Type& element : list->elements) collect_symbols(element, symbols);
  }
}

std::set<std::string> symbols_of(const Graph& graph, const Node& node) {
  std::set<std::string> symbols;
  for (Argument argument : node.arguments) {
    for_each_value(argument, [&](ValueId value) { collect_symbols(graph.type(value), symbols); });
    for_each_integer(argument, [&](const IntExpr& integer) { symbols.merge(integer.symbols()); });
  }
  return symbols;
}

c10::IValue zero_of(const Type& type, const Bindings& bindings, const std::string& name) {
  if (const TensorType* tensor = type.tensor()) {
    LIMBECK_CHECK(tensor->sizes.has_value(), "[graph] the shape of %{} is not known", name);
    std::vector<int64_t> sizes;
    for (const IntExpr& size : *tensor->sizes) sizes.push_back(size.evaluate(bindings));
    return at::zeros(sizes, tensor->dtype);
  }
  if (const auto* integer = std::get_if<IntType>(&type.kind)) return integer->expr.evaluate(bindings);
  if (std::holds_alternative<FloatType>(type.kind)) return 0.0;
  if (std::holds_alternative<BoolType>(type.kind)) return false;
  if (type.is_none()) return {};
  fail<Unsupported>("[graph] %{} is a list, which no op takes whole", name);
}

Type type_of(const c10::IValue& value) {
  if (value.isTensor() && !value.toTensor().defined()) return {NoneType{}};
  if (value.isTensor()) {
    const at::Tensor& tensor = value.toTensor();
    return {TensorType{.dtype = tensor.scalar_type(),
                       .sizes = Sizes(tensor.sizes().begin(), tensor.sizes().end()),
                       .strides = std::nullopt}};
  }
  if (value.isInt()) return {IntType{value.toInt()}};
  if (value.isDouble()) return {FloatType{}};
  if (value.isBool()) return {BoolType{}};
  if (value.isNone()) return {NoneType{}};
  if (value.isList()) {
    ListType list;
    for (const c10::IValue& element : value.toListRef()) list.elements.push_back(type_of(element));
    return {std::move(list)};
  }
  fail<Unsupported>("[graph] outputs of kind {} are not supported", value.tagKind());
}

at::Device device_of(const Graph& graph, const Node& node) {
  for (const Argument& argument : node.arguments) {
    if (const auto* device = std::get_if<at::Device>(&argument.kind)) return *device;
  }
  std::optional<at::Device> found;
  for (const Argument& argument : node.arguments) {
    for_each_value(argument, [&](ValueId value) {
      const TensorType* tensor = graph.type(value).tensor();
      if (tensor != nullptr && (!found || found->is_cpu())) found = tensor->device;
    });
  }
  return found.value_or(at::kCPU);
}

/// Runs one node on zeros at chosen values of its symbols.
class DryRun {
 public:
  DryRun(const Graph& graph, const Node& node) : graph_(graph), node_(node) {
    for (Argument& argument : node_.arguments) {
      if (auto* device = std::get_if<at::Device>(&argument.kind)) *device = at::kCPU;
    }
  }

  Observation at(const Bindings& bindings) const {
    const c10::AutoGradMode no_grad(false);
    const RegionAutocast autocast(graph_.regions()[node_.region].autocast);
    std::map<ValueId, c10::IValue> zeros;
    const auto value_of = [&](ValueId value) -> const c10::IValue& {
      const auto [slot, is_new] = zeros.try_emplace(value);
      if (is_new) slot->second = zero_of(graph_.type(value), bindings, graph_.name(value));
      return slot->second;
    };
    Observation types;
    for (const c10::IValue& output : call_node(graph_, node_, value_of, bindings)) types.push_back(type_of(output));
    return types;
  }

 private:
  const Graph& graph_;
  Node node_;
};

/// Values at which a node with symbols is observed: a base point and a step for each symbol.
struct Probe {
  Bindings base;
  std::map<std::string, int64_t> steps;

  Bindings moved(const std::string& symbol) const {
    Bindings point = base;
    point[symbol] += steps.at(symbol);
    return point;
  }
  Bindings all_moved_twice() const {
    Bindings point = base;
    for (auto& [symbol, value] : point) value += 2 * steps.at(symbol);
    return point;
  }
};

/// Distinct values, so that no two symbols look equal by chance; a large `scale` satisfies ops that need big or even
/// sizes. Within the symbols' ranges where those leave three values.
Probe make_probe(const Graph& graph, const std::set<std::string>& symbols, int64_t scale) {
  Probe probe;
  int64_t next = 2;
  for (const std::string& symbol : symbols) {
    int64_t base = scale * next++, step = scale;
    for (const Range& range : graph.ranges) {
      if (range.symbol != symbol) continue;
      base = std::max(base, range.min);
      if (base > range.max - 2 * step) step = std::max<int64_t>(1, (range.max - range.min) / 2);
      if (base > range.max - 2 * step) base = std::max(range.min, range.max - 2 * step);
    }
    probe.base[symbol] = base;
    probe.steps[symbol] = step;
  }
  return probe;
}

/// Sizes as c0 + Σ c_i · symbol_i from the observations of one probe.
class LinearFit {
 public:
  LinearFit(const DryRun& run, const Probe& probe) : probe_(probe), base_(run.at(probe.base)) {
    for (const auto& [symbol, step] : probe.steps) moved_.emplace_back(symbol, run.at(probe.moved(symbol)));
  }

  /// The fitted types, or nullopt when the observations differ in more than sizes or are not linear.
  std::optional<std::vector<Type>> types(const Observation& test) const {
    std::vector<Type> result = base_;
    for (std::size_t output = 0; output < result.size(); ++output) {
      if (!fit(result[output],
               [output](const Observation& seen) { return output < seen.size() ? &seen[output] : nullptr; })) {
        return std::nullopt;
      }
    }
    return evaluated(result, probe_.all_moved_twice()) == test ? std::optional(result) : std::nullopt;
  }

 private:
  template <class Get>
  bool fit(Type& type, const Get& get) const {
    if (TensorType* tensor = type.tensor()) {
      for (std::size_t axis = 0; axis < tensor->sizes->size(); ++axis) {
        const auto size = [&](const Observation& seen) -> std::optional<int64_t> {
          const Type* other = get(seen);
          const TensorType* found = other == nullptr ? nullptr : other->tensor();
          if (found == nullptr || found->sizes->size() != tensor->sizes->size()) return std::nullopt;
          return (*found->sizes)[axis].constant();
        };
        if (!fit_integer((*tensor->sizes)[axis], size)) return false;
      }
    } else if (auto* integer = std::get_if<IntType>(&type.kind)) {
      return fit_integer(integer->expr, [&](const Observation& seen) -> std::optional<int64_t> {
        const Type* other = get(seen);
        const auto* found = other == nullptr ? nullptr : std::get_if<IntType>(&other->kind);
        return found == nullptr ? std::nullopt : found->expr.constant();
      });
    }
    return true;
  }

  template <class Get>
  bool fit_integer(IntExpr& expr, const Get& get) const {
    const int64_t base = *expr.constant();
    for (const auto& [symbol, seen] : moved_) {
      const std::optional<int64_t> value = get(seen);
      const int64_t step = probe_.steps.at(symbol);
      if (!value || (*value - base) % step != 0) return false;
      expr = expr + IntExpr((*value - base) / step) * (IntExpr::symbol(symbol) - IntExpr(probe_.base.at(symbol)));
    }
    return true;
  }

  static Observation evaluated(std::vector<Type> types, const Bindings& bindings) {
    for (Type& type : types) {
      if (TensorType* tensor = type.tensor()) {
        for (IntExpr& size : *tensor->sizes) size = size.evaluate(bindings);
      } else if (auto* integer = std::get_if<IntType>(&type.kind)) {
        integer->expr = integer->expr.evaluate(bindings);
      }
    }
    return types;
  }

  const Probe& probe_;
  Observation base_;
  std::vector<std::pair<std::string, Observation>> moved_;
};

std::vector<Type> fitted_types(const Graph& graph, const Node& node, const std::set<std::string>& symbols) {
  const DryRun run(graph, node);
  if (symbols.empty()) return run.at({});
  static constexpr int64_t kScales[] = {1, 32};
  std::string refusal;
  for (const int64_t scale : kScales) {
    const Probe probe = make_probe(graph, symbols, scale);
    try {
      const LinearFit fit(run, probe);
      if (auto types = fit.types(run.at(probe.all_moved_twice()))) return std::move(*types);
    } catch (const InvalidArgument& error) {
      if (scale == kScales[std::size(kScales) - 1]) throw;
      continue;
    }
    break;
  }
  fail<Unsupported>("[graph] output sizes of {} in '{}' do not follow linearly from {}. Export with those sizes fixed.",
                    node.op->name, graph.scope(node.scope).path, fmt::join(symbols, ", "));
}

}  // namespace

std::vector<Type> types_by_running(const Graph& graph, const Node& node) {
  if (node.op->traits.is_data_dependent) {
    fail<Unsupported>("[graph] output sizes of {} in '{}' depend on data", node.op->name, graph.scope(node.scope).path);
  }
  const std::optional<KeptGenerator> kept =
      node.op->traits.is_random ? std::optional<KeptGenerator>(std::in_place) : std::nullopt;
  std::vector<Type> types = fitted_types(graph, node, symbols_of(graph, node));
  const at::Device device = device_of(graph, node);
  for (Type& type : types) {
    if (TensorType* tensor = type.tensor()) tensor->device = device;
  }
  return types;
}

}  // namespace limbeck::graph
