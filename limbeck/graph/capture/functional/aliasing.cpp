#include "limbeck/graph/capture/functional/aliasing.h"

#include <ATen/TensorUtils.h>
#include <ATen/core/function_schema.h>

#include <algorithm>
#include <array>
#include <map>
#include <numeric>

#include "limbeck/core/error.h"

namespace limbeck::capture {

using graph::Node;
using graph::OpInfo;
using graph::TensorType;

namespace {

/// Ops that return their input itself, or a view of it, depending on strides, dtype or mode.
bool is_conditional(std::string_view name) {
  static constexpr std::array kNames = {"reshape",
                                        "reshape_as",
                                        "flatten",
                                        "ravel",
                                        "contiguous",
                                        "to",
                                        "type_as",
                                        "dropout",
                                        "feature_dropout",
                                        "alpha_dropout",
                                        "feature_alpha_dropout",
                                        "sum_to_size",
                                        "positive",
                                        "real",
                                        "resolve_conj",
                                        "resolve_neg",
                                        "conj"};
  return std::find(kNames.begin(), kNames.end(), name) != kNames.end();
}

/// Sizes that were unknown at export count as 2: torch.export treats 0 and 1 as special.
std::vector<int64_t> at_export(const graph::Sizes& sizes, graph::Bindings hints) {
  std::vector<int64_t> values;
  for (const graph::IntExpr& size : sizes) {
    for (const std::string& symbol : size.symbols()) hints.emplace(symbol, 2);
    values.push_back(size.evaluate(hints));
  }
  return values;
}

bool is_view_possible(const TensorType& from, const TensorType& to, const graph::Bindings& hints) {
  if (!from.sizes || !from.strides || !to.sizes) return true;
  const std::vector<int64_t> sizes = at_export(*from.sizes, hints), strides = at_export(*from.strides, hints);
  const std::vector<int64_t> wanted = at_export(*to.sizes, hints);
  const auto numel = [](const std::vector<int64_t>& shape) {
    return std::accumulate(shape.begin(), shape.end(), int64_t{1}, [](int64_t a, int64_t b) { return a * b; });
  };
  if (sizes.size() != strides.size() || numel(sizes) != numel(wanted)) return false;
  return at::detail::computeStride(sizes, strides, at::IntArrayRef(wanted)).has_value();
}

/// `contiguous` returns its input when the strides are already those that it would make.
bool has_strides_of(const TensorType& from, const TensorType& to, const graph::Bindings& hints) {
  if (!from.strides || !to.strides || !from.sizes) return false;
  const std::vector<int64_t> sizes = at_export(*from.sizes, hints);
  const std::vector<int64_t> a = at_export(*from.strides, hints), b = at_export(*to.strides, hints);
  if (a.size() != sizes.size() || b.size() != sizes.size()) return false;
  for (std::size_t axis = 0; axis < sizes.size(); ++axis) {
    if (sizes[axis] != 1 && a[axis] != b[axis]) return false;
  }
  return true;
}

bool is_same_tensor(const Node& node, const TensorType& from, const TensorType& to, const graph::Bindings& hints) {
  const auto copy = node.op->find_slot("copy");
  if (copy && node.arguments[*copy].as_bool() == true) return false;
  return from.dtype == to.dtype && from.device == to.device && has_strides_of(from, to, hints);
}

bool is_view_now(const graph::Graph& graph, const Node& node, const graph::Bindings& hints) {
  const std::string_view name = short_name(*node.op);
  const graph::ValueId* input = node.arguments.empty() ? nullptr : node.arguments[0].value();
  if (input == nullptr || node.types.empty() || node.types[0].tensor() == nullptr) return false;
  const TensorType* from = graph.type(*input).tensor();
  const TensorType& to = *node.types[0].tensor();
  if (from == nullptr) return false;
  if (name.find("dropout") != std::string_view::npos)
    return node.arguments[2].as_bool() == false || node.arguments[1].as_double() == 0.0;
  if (name == "reshape" || name == "reshape_as" || name == "flatten" || name == "ravel")
    return is_view_possible(*from, to, hints);
  if (name == "sum_to_size") return from->sizes == to.sizes;
  if (c10::isComplexType(from->dtype) && (name == "real" || name == "conj")) return true;
  return is_same_tensor(node, *from, to, hints);
}

std::optional<std::size_t> slot_by_schema(const OpInfo& op) {
  const auto& arguments = op.schema->arguments();
  for (std::size_t slot = 0; slot < arguments.size(); ++slot) {
    const c10::AliasInfo* alias = arguments[slot].alias_info();
    if (alias != nullptr && !alias->isWrite()) return slot;
  }
  return std::nullopt;
}

}  // namespace

std::string_view short_name(const OpInfo& op) {
  constexpr std::string_view kAten = "aten::";
  std::string_view name = op.name;
  if (name.substr(0, kAten.size()) != kAten) return {};
  name.remove_prefix(kAten.size());
  return name.substr(0, name.find('.'));
}

std::optional<std::size_t> viewed_slot(const graph::Graph& graph, const Node& node, const graph::Bindings& hints) {
  if (is_conditional(short_name(*node.op)))
    return is_view_now(graph, node, hints) ? std::optional<std::size_t>(0) : std::nullopt;
  if (node.op->is_own()) return std::nullopt;
  return slot_by_schema(*node.op);
}

bool may_alias(const Node& node) { return is_conditional(short_name(*node.op)) || node.op->is("limbeck::drop_path"); }

std::optional<std::size_t> written_slot(const OpInfo& op) {
  if (op.is_own()) return std::nullopt;
  std::optional<std::size_t> written;
  const auto& arguments = op.schema->arguments();
  for (std::size_t slot = 0; slot < arguments.size(); ++slot) {
    const c10::AliasInfo* alias = arguments[slot].alias_info();
    if (alias == nullptr || !alias->isWrite()) continue;
    if (written) fail<Unsupported>("[capture] {} writes several of its arguments", op.name);
    if (arguments[slot].is_out()) fail<Unsupported>("[capture] {} writes into an `out` argument", op.name);
    written = slot;
  }
  return written;
}

const OpInfo* functional_twin(const OpInfo& op) {
  static const std::map<std::string, std::string, std::less<>> kOtherNames{
      {"aten::bernoulli_.float", "aten::bernoulli.p"},       {"aten::normal_", "aten::normal_functional"},
      {"aten::random_.from", "aten::random.from"},           {"aten::squeeze_.dim", "aten::squeeze.dim"},
      {"aten::fill_.Tensor", "aten::fill.Tensor"},           {"aten::fill_.Scalar", "aten::fill.Scalar"},
      {"aten::transpose_", "aten::transpose.int"},           {"aten::swapaxes_", "aten::swapaxes"},
      {"aten::__iand__.Tensor", "aten::bitwise_and.Tensor"}, {"aten::__ior__.Tensor", "aten::bitwise_or.Tensor"},
      {"aten::__ixor__.Tensor", "aten::bitwise_xor.Tensor"}, {"aten::div_.Tensor", "aten::div.Tensor"}};
  static constexpr std::array kRefused = {"set_", "resize_", "resize_as_", "rename_"};
  if (std::find(kRefused.begin(), kRefused.end(), short_name(op)) != kRefused.end()) return nullptr;
  const auto other = kOtherNames.find(op.name);
  if (other != kOtherNames.end()) return graph::find_op(other->second);
  const std::size_t dot = op.name.find('.');
  const std::string name = op.name.substr(0, dot), overload = dot == std::string::npos ? "" : op.name.substr(dot);
  if (name.empty() || name.back() != '_') return nullptr;
  const OpInfo* twin = graph::find_op(name.substr(0, name.size() - 1) + overload);
  if (twin == nullptr || written_slot(*twin)) return nullptr;
  return twin;
}

bool is_in_place_view(const OpInfo& op) {
  static constexpr std::array kNames = {"squeeze_",  "unsqueeze_", "t_",          "transpose_", "swapaxes_",
                                        "swapdims_", "detach_",    "as_strided_", "rename_"};
  return std::find(kNames.begin(), kNames.end(), short_name(op)) != kNames.end();
}

}  // namespace limbeck::capture
