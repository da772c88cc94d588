#include "limbeck/model/inputs.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "limbeck/core/error.h"
#include "limbeck/graph/builder.h"
#include "tests/model/networks.h"

namespace limbeck {
namespace {

using testing::is_equal;
using testing::message_of;
using testing::normal;

/// out = image - 2 * mask
Model two_inputs() {
  graph::Graph graph;
  graph::Builder builder(graph);
  const graph::IntExpr batch = graph::IntExpr::symbol("B");
  const graph::ValueId image = builder.input("image", {batch, 4}), mask = builder.input("mask", {batch, 4});
  builder.outputs({{"out", builder.call("aten::sub.Tensor", {image, mask}, {{"alpha", 2}})}});
  graph.ranges.push_back({.symbol = "B", .min = 1, .max = 16});
  return Model(std::move(graph));
}

std::string refusal(Model model, const Inputs& inputs) {
  return message_of<InvalidArgument>([&] { model.forward(inputs); });
}

TEST(Inputs, ByPositionAndByName) {
  Model model = two_inputs();
  const at::Tensor image = normal({2, 4}, 1), mask = normal({2, 4}, 2);
  const at::Tensor expected = image - 2 * mask;
  EXPECT_TRUE(is_equal(model.forward({{{"", image}, {"", mask}}}).logits(), expected));
  EXPECT_TRUE(is_equal(model.forward({{{"mask", mask}, {"image", image}}}).logits(), expected));
  EXPECT_TRUE(is_equal(model.forward({{{"", image}, {"mask", mask}}}).logits(), expected));
}

TEST(Inputs, MissingUnknownAndDoubledOnesAreNamed) {
  const at::Tensor x = normal({2, 4}, 1);
  EXPECT_NE(refusal(two_inputs(), x).find("input 'mask' is missing: the model takes 2 inputs (image, mask)"),
            std::string::npos);
  EXPECT_NE(refusal(two_inputs(), {{{"", x}, {"", x}, {"", x}}}).find("got 3 tensors"), std::string::npos);
  EXPECT_NE(refusal(two_inputs(), {{{"imgae", x}, {"mask", x}}}).find("Nearest: image"), std::string::npos);
  EXPECT_NE(refusal(two_inputs(), {{{"", x}, {"image", x}}}).find("'image' is given twice"), std::string::npos);
  EXPECT_NE(refusal(two_inputs(), {{{"image", at::Tensor()}, {"mask", x}}}).find("undefined"), std::string::npos);
}

TEST(Inputs, WrongTypesAreRefused) {
  const at::Tensor x = normal({2, 4}, 1);
  const std::string message = refusal(two_inputs(), {{{"", x}, {"", x.to(at::kLong)}}});
  EXPECT_NE(message.find("input 'mask' must have elements of type Float, got Long [2, 4]"), std::string::npos)
      << message;
  EXPECT_NE(refusal(two_inputs(), {{{"", x}, {"", x.to(at::kMeta)}}}).find("is on meta, the model on cpu"),
            std::string::npos);
}

TEST(Inputs, WrongSizesAreRefusedNamingTheInput) {
  const at::Tensor x = normal({2, 4}, 1);
  EXPECT_NE(refusal(two_inputs(), {{{"", x}, {"", normal({2, 5}, 1)}}}).find("mask"), std::string::npos);
  EXPECT_NE(refusal(two_inputs(), {{{"", x}, {"", normal({3, 4}, 1)}}}).find("mask"), std::string::npos);
  EXPECT_NE(refusal(two_inputs(), {{{"", normal({4}, 1)}, {"", x}}}).find("image"), std::string::npos);
  const at::Tensor many = normal({17, 4}, 1);
  EXPECT_NE(refusal(two_inputs(), {{{"", many}, {"", many}}}).find("16"), std::string::npos);
}

TEST(Inputs, NonContiguousOnesAreTaken) {
  Model model = two_inputs();
  const at::Tensor image = normal({4, 2}, 1).t(), mask = normal({2, 8}, 2).slice(1, 0, 8, 2);
  EXPECT_TRUE(is_equal(model.forward({{{"", image}, {"", mask}}}).logits(), image - 2 * mask));
}

}  // namespace
}  // namespace limbeck
