// Convolutions: y[n, o, p] = Σ x[n, c, s·p + d·k - pad] w[o, c, k]. MACs are those of the direct algorithm.

#include "limbeck/graph/ops/node_view.h"
#include "limbeck/graph/ops/rows.h"

namespace limbeck::graph {

namespace {

/// Arguments that all overloads share, read once. Input [N, C, ...] or [C, ...]; weight [O, C / groups, kernel ...], of
/// a transposed convolution [C, O / groups, kernel ...].
struct Convolution {
  explicit Convolution(const NodeView& view)
      : weight(view.sizes("weight")),
        input(view.sizes("input")),
        rank(weight.size() - 2),
        stride(view.integers("stride", rank)),
        dilation(view.integers("dilation", rank)),
        groups(view.integer("groups")) {}

  bool is_batched() const { return input.size() == rank + 2; }
  std::size_t channel_axis() const { return is_batched() ? 1 : 0; }
  IntExpr extent(std::size_t i) const { return dilation[i] * (weight[2 + i] - 1) + 1; }

  const Sizes& weight;
  const Sizes& input;
  std::size_t rank;
  std::vector<IntExpr> stride, dilation;
  IntExpr groups;
};

void check(const NodeView& view, bool is_transposed) {
  view.expect_rank("weight", 3, 5);
  const std::size_t rank = view.sizes("weight").size();
  view.expect_rank("input", rank - 1, rank);
  view.expect_same_dtype("input", "weight");
  const Convolution conv(view);
  const IntExpr expected = is_transposed ? conv.weight[0] : conv.weight[1] * conv.groups;
  view.expect_equal(conv.input[conv.channel_axis()], expected, "number of input channels");
}

Sizes output_sizes(const Convolution& conv, const IntExpr& channels, const auto& size_of) {
  Sizes sizes;
  if (conv.is_batched()) sizes.push_back(conv.input[0]);
  sizes.push_back(channels);
  for (std::size_t i = 0; i < conv.rank; ++i) sizes.push_back(size_of(i, conv.input[conv.channel_axis() + 1 + i]));
  return sizes;
}

std::vector<Type> forward_types(const NodeView& view, const auto& padding_of) {
  check(view, false);
  const Convolution conv(view);
  Sizes sizes = output_sizes(conv, conv.weight[0], [&](std::size_t i, const IntExpr& size) {
    const IntExpr span = size + padding_of(conv, i) - conv.extent(i);
    if (const auto constant = span.constant(); constant && *constant < 0) {
      view.refuse("the kernel covers {} and the padded input only {}", conv.extent(i).to_string(),
                  (size + padding_of(conv, i)).to_string());
    }
    return floor_div(span, conv.stride[i]) + 1;
  });
  return {tensor_like(view.tensor("input"), std::move(sizes))};
}

std::vector<Type> padded_types(const NodeView& view) {
  const auto padding = view.integers("padding", view.sizes("weight").size() - 2);
  return forward_types(view, [&](const Convolution&, std::size_t i) { return padding[i] * 2; });
}

/// padding is the word "valid" or "same".
std::vector<Type> named_padding_types(const NodeView& view) {
  const std::string* word = view.argument("padding").text();
  if (word == nullptr || (*word != "same" && *word != "valid")) view.refuse("padding must be \"same\" or \"valid\"");
  const bool is_same = *word == "same";
  return forward_types(
      view, [&](const Convolution& conv, std::size_t i) { return is_same ? conv.extent(i) - 1 : IntExpr(0); });
}

std::vector<Type> transposed_types(const NodeView& view) {
  check(view, true);
  const Convolution conv(view);
  const auto padding = view.integers("padding", conv.rank), extra = view.integers("output_padding", conv.rank);
  Sizes sizes = output_sizes(conv, conv.weight[1] * conv.groups, [&](std::size_t i, const IntExpr& size) {
    return (size - 1) * conv.stride[i] - padding[i] * 2 + conv.extent(i) + extra[i];
  });
  return {tensor_like(view.tensor("input"), std::move(sizes))};
}

bool is_transposed(const NodeView& view) {
  if (view.node().op->find_slot("transposed")) return view.flag("transposed");
  return view.node().op->name.find("conv_transpose") != std::string::npos;
}

std::vector<Type> shape_conv(const Graph& graph, const Node& node) { return padded_types({graph, node}); }
std::vector<Type> shape_conv_named_padding(const Graph& graph, const Node& node) {
  return named_padding_types({graph, node});
}
std::vector<Type> shape_conv_transpose(const Graph& graph, const Node& node) { return transposed_types({graph, node}); }
std::vector<Type> shape_convolution(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  return is_transposed(view) ? transposed_types(view) : padded_types(view);
}

/// Each output element of a convolution (each input element of a transposed one) takes part in weight[1] · kernel
/// multiply-adds.
IntExpr macs_of_convolution(const Graph& graph, const Node& node) {
  const NodeView view(graph, node);
  const Sizes& weight = view.sizes("weight");
  IntExpr per_element = weight[1];
  for (std::size_t axis = 2; axis < weight.size(); ++axis) per_element = per_element * weight[axis];
  return per_element * product(is_transposed(view) ? view.sizes("input") : *node.types.at(0).tensor()->sizes);
}

}  // namespace

void add_convolution_rows(TraitsTable& table) {
  for (const char* op : {"aten::conv1d", "aten::conv2d", "aten::conv3d"}) {
    table[op] = {.shape = shape_conv, .macs = macs_of_convolution};
    table[std::string(op) + ".padding"] = {.shape = shape_conv_named_padding, .macs = macs_of_convolution};
  }
  for (const char* op : {"aten::conv_transpose1d", "aten::conv_transpose2d.input", "aten::conv_transpose3d.input"}) {
    table[op] = {.shape = shape_conv_transpose, .macs = macs_of_convolution};
  }
  table["limbeck::depthwise_conv2d"] = table["aten::conv2d"];
  table["limbeck::strided_pointwise_conv2d"] = table["aten::conv2d"];
  table["limbeck::patch_conv2d"] = table["aten::conv2d"];
  table["aten::convolution"] = {.shape = shape_convolution, .macs = macs_of_convolution};
}

}  // namespace limbeck::graph
