#include "limbeck/graph/capture/lower.h"

#include <gtest/gtest.h>

#include "limbeck/core/error.h"

namespace limbeck::capture {
namespace {

/// with torch.set_grad_enabled(FLAG): y = x.relu()
ExportProgram with_grad_mode(ProgramArgument flag) {
  const graph::TensorType type{.sizes = graph::Sizes{2}, .strides = graph::Sizes{1}};
  const auto tensor = [](const char* name) { return ProgramArgument{TensorName{name}}; };
  auto inner = std::make_shared<ProgramGraph>();
  inner->inputs = {tensor("a")};
  inner->outputs = {tensor("b")};
  inner->nodes = {
      {.target = "torch.ops.aten.relu.default", .inputs = {{"self", tensor("a")}}, .outputs = {tensor("b")}}};
  inner->tensors = {{"a", type}, {"b", type}};
  ExportProgram program;
  program.graph.inputs = {tensor("x")};
  program.graph.nodes = {{.target = "torch.ops.higher_order.wrap_with_set_grad_enabled",
                          .inputs = {{"", std::move(flag)},
                                     {"", ProgramArgument{std::shared_ptr<const ProgramGraph>(std::move(inner))}},
                                     {"", tensor("x")}},
                          .outputs = {tensor("y")}}};
  program.graph.tensors = {{"x", type}, {"y", type}};
  program.inputs = {{.value = tensor("x"), .target = {}}};
  program.outputs = {{.value = tensor("y"), .target = {}}};
  return program;
}

TEST(Lower, GradModeBecomesARegion) {
  const graph::Graph graph = lower(with_grad_mode({false}), {}, {}).graph;
  const graph::NodeId relu = graph.order().back();
  ASSERT_TRUE(graph.node(relu).op->is("aten::relu"));
  EXPECT_EQ(graph.regions()[graph.node(relu).region].grad_enabled, std::optional(false));
}

TEST(Lower, RefusesAGradModeThatIsNoBool) {
  try {
    lower(with_grad_mode({int64_t{1}}), {}, {});
    FAIL() << "took a number for a bool";
  } catch (const IoError& error) {
    EXPECT_NE(std::string(error.what()).find("argument 0 of torch.ops.higher_order.wrap_with_set_grad_enabled"),
              std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace limbeck::capture
