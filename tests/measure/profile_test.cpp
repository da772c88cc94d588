#include "limbeck/measure/profile.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "limbeck/graph/builder.h"

namespace limbeck::measure {
namespace {

using graph::ArgumentList;
using graph::IntExpr;
using graph::ValueId;

/// A 3x3 convolution of 2 -> 4 channels on 6x6 without padding, in scope "body", and one linear layer in scope
/// "head.fc" used twice: 4x4 positions, 16 -> 16.
Model network() {
  graph::Graph graph;
  graph::Builder builder(graph);
  const ValueId x = builder.input("x", {IntExpr::symbol("B"), 2, 6, 6});
  ValueId h;
  {
    const auto scope = builder.enter("body", "Body");
    h = builder.call("aten::conv2d", {x, builder.parameter("body.weight", at::ones({4, 2, 3, 3})),
                                      builder.parameter("body.bias", at::zeros({4}))});
  }
  h = builder.call("aten::mean.dim", {builder.call("aten::flatten.using_ints", {h, 2}), ArgumentList{1}, false});
  const auto head = builder.enter("head", "Head");
  const auto scope = builder.enter("fc", "torch.nn.modules.linear.Linear");
  const ValueId weight = builder.parameter("head.fc.weight", at::ones({16, 16}));
  h = builder.call("aten::linear", {builder.call("aten::linear", {h, weight, nullptr}), weight, nullptr});
  h = builder.call("aten::mul.Tensor", {h, builder.buffer("head.fc.scale", at::ones({16}))});
  builder.outputs({{"logits", h}});
  return Model(std::move(graph));
}

constexpr int64_t kConvolution = 4 * 4 * 4 * 2 * 9, kLinear = 16 * 16;

ScopeCost scope_of(const Profile& profile, const std::string& name) {
  const auto found = std::find_if(profile.scopes.begin(), profile.scopes.end(),
                                  [&](const ScopeCost& cost) { return cost.scope == name; });
  return found == profile.scopes.end() ? ScopeCost{.scope = "missing", .type = {}} : *found;
}

TEST(Profile, CountsParametersBuffersBytesAndMultiplyAdds) {
  const Profile profile = measure::profile(network());
  EXPECT_EQ(profile.parameters, 72 + 4 + 256);
  EXPECT_EQ(profile.parameter_bytes, 4 * profile.parameters);
  EXPECT_EQ(profile.buffers, 16);
  EXPECT_EQ(profile.buffer_bytes, 64);
  EXPECT_EQ(profile.macs, kConvolution + 2 * kLinear);
}

TEST(Profile, AddsScopesUp) {
  const Profile profile = measure::profile(network());
  EXPECT_EQ(scope_of(profile, "").macs, profile.macs);
  EXPECT_EQ(scope_of(profile, "").parameters, profile.parameters);
  EXPECT_EQ(scope_of(profile, "body").macs, kConvolution);
  EXPECT_EQ(scope_of(profile, "body").parameters, 76);
  EXPECT_EQ(scope_of(profile, "body").type, "Body");
  EXPECT_EQ(scope_of(profile, "head").macs, 2 * kLinear);
  EXPECT_EQ(scope_of(profile, "head.fc").parameters, 256);
}

TEST(Profile, BytesFollowTheDtype) {
  Model model = network();
  model.to(at::kBFloat16);
  EXPECT_EQ(measure::profile(model).parameter_bytes, 2 * (72 + 4 + 256));
}

}  // namespace
}  // namespace limbeck::measure
