// Internal to limbeck/graph: what shape and MACs rules read a node's arguments with, by the names of its schema.
// Rules see only nodes whose tensor arguments all have known sizes.
#pragma once

#include <string_view>
#include <vector>

#include "limbeck/core/error.h"
#include "limbeck/graph/graph.h"

namespace limbeck::graph {

class NodeView {
 public:
  NodeView(const Graph& graph, const Node& node) : graph_(graph), node_(node) {}

  /// False for None and for an argument that the op does not have.
  bool has(std::string_view argument) const;
  const Argument& argument(std::string_view name) const;
  /// Type of a tensor argument. Throws InvalidArgument when the argument is something else.
  const TensorType& tensor(std::string_view argument) const;
  const Sizes& sizes(std::string_view argument) const { return *tensor(argument).sizes; }
  /// Types of a list of tensors, None left out.
  std::vector<const TensorType*> tensors(std::string_view argument) const;
  IntExpr integer(std::string_view argument) const;
  /// A list of ints; a lone int, or a list of one, stands for `expected` equal ones (0: for itself).
  std::vector<IntExpr> integers(std::string_view argument, std::size_t expected = 0) const;
  bool flag(std::string_view argument) const;
  /// The dtype argument, or `otherwise` when it is None.
  at::ScalarType dtype_or(std::string_view argument, at::ScalarType otherwise) const;
  /// The constant axis argument as an index below `rank`. A scalar (rank 0) has axis 0, as in ATen.
  std::size_t axis(std::string_view argument, std::size_t rank) const;
  std::size_t axis_of(const IntExpr& axis, std::size_t rank) const;
  /// A list of axes, ascending and different; None and an empty list stand for all.
  std::vector<std::size_t> axes(std::string_view argument, std::size_t rank) const;

  /// Throws InvalidArgument with op and scope in front.
  template <class... Args>
  [[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) const {
    refuse_text(fmt::format(format, std::forward<Args>(args)...));
  }
  /// Refuses sizes that are certainly different; symbolic ones that may be equal pass.
  void expect_equal(const IntExpr& got, const IntExpr& expected, std::string_view what) const;
  void expect_rank(std::string_view argument, std::size_t low, std::size_t high) const;
  void expect_same_dtype(std::string_view first, std::string_view second) const;

  const Node& node() const { return node_; }
  const Graph& graph() const { return graph_; }

 private:
  [[noreturn]] void refuse_text(const std::string& text) const;

  const Graph& graph_;
  const Node& node_;
};

/// One output like `model`, of other sizes and perhaps another dtype.
Type tensor_like(const TensorType& model, Sizes sizes);
Type tensor_like(const TensorType& model, Sizes sizes, at::ScalarType dtype);
Type tensor_on(at::Device device, Sizes sizes, at::ScalarType dtype);

IntExpr product(const Sizes& sizes);
std::string sizes_text(const Sizes& sizes);

/// Sizes that both broadcast to, or nullopt when that is not certain.
std::optional<Sizes> broadcast(const Sizes& a, const Sizes& b);

/// The dtype that ATen's type promotion gives the arguments of `names`: tensors with axes before those without before
/// numbers, as at::result_type.
at::ScalarType promoted_dtype(const NodeView& view, const std::vector<std::string_view>& names);

/// float stays, integers and bools become the default float.
at::ScalarType to_floating(at::ScalarType dtype);

}  // namespace limbeck::graph
