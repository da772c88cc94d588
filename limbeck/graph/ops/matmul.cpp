// Matrix products.

#include <cctype>
#include <map>

#include "limbeck/graph/ops/node_view.h"
#include "limbeck/graph/ops/rows.h"

namespace limbeck::graph {

namespace {

IntExpr output_elements(const Node& node) { return product(*node.types.at(0).tensor()->sizes); }

/// y = x wᵀ + b over the last axis; weight [out, in] or [in].
std::vector<Type> shape_linear(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  view.expect_rank("weight", 1, 2);
  view.expect_rank("input", 1, 64);
  view.expect_same_dtype("input", "weight");
  const Sizes& weight = view.sizes("weight");
  Sizes sizes = view.sizes("input");
  view.expect_equal(sizes.back(), weight.back(), "last axis of 'input'");
  sizes.pop_back();
  if (weight.size() == 2) sizes.push_back(weight[0]);
  return {tensor_like(view.tensor("input"), std::move(sizes))};
}

IntExpr macs_of_linear(const Graph& graph, const Node& node) {
  return output_elements(node) * NodeView(graph, node).sizes("weight").back();
}

/// [.., n, k] x [.., k, m]; vectors gain an axis that goes again.
std::vector<Type> shape_product(const NodeView& view, std::string_view left, std::string_view right) {
  view.expect_same_dtype(left, right);
  view.expect_rank(left, 1, 64);
  view.expect_rank(right, 1, 64);
  Sizes a = view.sizes(left), b = view.sizes(right);
  const bool is_row = a.size() == 1, is_column = b.size() == 1;
  if (is_row) a.insert(a.begin(), 1);
  if (is_column) b.push_back(1);
  view.expect_equal(a.back(), b[b.size() - 2], "the axis summed over");
  const auto batch = broadcast({a.begin(), a.end() - 2}, {b.begin(), b.end() - 2});
  if (!batch) return {};
  Sizes sizes = *batch;
  if (!is_row) sizes.push_back(a[a.size() - 2]);
  if (!is_column) sizes.push_back(b.back());
  return {tensor_like(view.tensor(left), std::move(sizes))};
}

template <std::size_t Rank>
std::vector<Type> shape_mm(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  view.expect_rank("self", Rank, Rank);
  view.expect_rank("mat2", Rank, Rank);
  return shape_product(view, "self", "mat2");
}

std::vector<Type> shape_matmul(const Graph& graph, const Node& node) {
  return shape_product({graph, node}, "self", "other");
}
std::vector<Type> shape_mv(const Graph& graph, const Node& node) { return shape_product({graph, node}, "self", "vec"); }
std::vector<Type> shape_dot(const Graph& graph, const Node& node) {
  return shape_product({graph, node}, "self", "tensor");
}
std::vector<Type> shape_addmm(const Graph& graph, const Node& node) {
  return shape_product({graph, node}, "mat1", "mat2");
}
std::vector<Type> shape_baddbmm(const Graph& graph, const Node& node) {
  return shape_product({graph, node}, "batch1", "batch2");
}

IntExpr macs_over_last_axis(const Graph& graph, const Node& node, std::string_view left) {
  return output_elements(node) * NodeView(graph, node).sizes(left).back();
}
IntExpr macs_of_self(const Graph& graph, const Node& node) { return macs_over_last_axis(graph, node, "self"); }
IntExpr macs_of_mat1(const Graph& graph, const Node& node) { return macs_over_last_axis(graph, node, "mat1"); }
IntExpr macs_of_batch1(const Graph& graph, const Node& node) { return macs_over_last_axis(graph, node, "batch1"); }

/// An einsum equation with sizes: labels of the operands and of the output. Nothing for equations with "...".
struct Einsum {
  std::map<char, IntExpr> sizes;
  std::string output;
};

std::optional<Einsum> read_einsum(const NodeView& view) {
  const std::string* equation = view.argument("equation").text();
  if (equation == nullptr || equation->find('.') != std::string::npos) return std::nullopt;
  const std::vector<const TensorType*> operands = view.tensors("tensors");
  const std::size_t arrow = equation->find("->");
  Einsum result;
  std::map<char, int> count;
  std::size_t operand = 0, axis = 0;
  for (const char c : equation->substr(0, arrow)) {
    if (c == ',') {
      ++operand, axis = 0;
    } else if (std::isalpha(static_cast<unsigned char>(c)) != 0) {
      if (operand >= operands.size() || axis >= operands[operand]->sizes->size())
        view.refuse("'{}' does not fit", *equation);
      IntExpr& size = result.sizes.try_emplace(c, 1).first->second;
      if (const IntExpr& given = (*operands[operand]->sizes)[axis++]; given != IntExpr(1)) size = given;
      ++count[c];
    }
  }
  if (arrow != std::string::npos) {
    for (const char c : equation->substr(arrow + 2)) {
      if (c != ' ') result.output += c;
    }
    return result;
  }
  for (const auto& [label, times] : count) {
    if (times == 1) result.output += label;
  }
  return result;
}

std::vector<Type> shape_einsum(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  const std::optional<Einsum> einsum = read_einsum(view);
  if (!einsum) return {};
  Sizes sizes;
  for (const char label : einsum->output) {
    const auto size = einsum->sizes.find(label);
    if (size == einsum->sizes.end()) view.refuse("output label '{}' is in no operand", label);
    sizes.push_back(size->second);
  }
  return {tensor_like(*view.tensors("tensors").at(0), std::move(sizes))};
}

/// Of two operands: the product of all labels' sizes. More operands are contracted in an order that the rule does not
/// know, and count pair by pair from the left as if nothing were summed early.
IntExpr macs_of_einsum(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  const std::optional<Einsum> einsum = read_einsum(view);
  const std::size_t num_operands = view.tensors("tensors").size();
  if (!einsum || num_operands < 2) return 0;
  IntExpr all = 1;
  for (const auto& [label, size] : einsum->sizes) all = all * size;
  return all * IntExpr(num_operands - 1);
}

}  // namespace

void add_matmul_rows(TraitsTable& table) {
  table["aten::linear"] = {.shape = shape_linear, .macs = macs_of_linear};
  table["aten::mm"] = {.shape = shape_mm<2>, .macs = macs_of_self};
  table["aten::bmm"] = {.shape = shape_mm<3>, .macs = macs_of_self};
  table["aten::matmul"] = {.shape = shape_matmul, .macs = macs_of_self};
  table["aten::mv"] = {.shape = shape_mv, .macs = macs_of_self};
  table["aten::dot"] = {.shape = shape_dot, .macs = macs_of_self};
  table["aten::addmm"] = {.shape = shape_addmm, .macs = macs_of_mat1};
  table["aten::baddbmm"] = {.shape = shape_baddbmm, .macs = macs_of_batch1};
  table["aten::einsum"] = {.shape = shape_einsum, .macs = macs_of_einsum};
}

}  // namespace limbeck::graph
