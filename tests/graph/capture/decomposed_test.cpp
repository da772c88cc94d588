// Rewrites of decomposed graphs by text: what is raised, and what only looks like it.
#include "limbeck/graph/capture/decomposed/decomposed.h"

#include <gtest/gtest.h>

#include "limbeck/graph/text/text.h"

namespace limbeck::capture {
namespace {

/// The ops left, in order, of `body`, whose last value is %out.
std::vector<std::string> raised(const std::string& body) {
  Export source;
  source.graph = graph::parse("graph(%x: f32[4], %y: f32[4])\n" + body + "  train: (%out)\n  eval: (%out)\n");
  raise_activations(source);
  std::vector<std::string> ops;
  for (const graph::NodeId id : source.graph.order()) {
    if (const std::string& name = source.graph.node(id).op->name; name != "limbeck::input") ops.push_back(name);
  }
  return ops;
}

using Ops = std::vector<std::string>;

constexpr const char* kClamped =
    "  %sum = aten::add.Tensor(%x, 3)\n  %low = aten::clamp(%sum, 0)\n  %high = aten::clamp(%low, None, 6)\n";

TEST(RaiseActivations, SiluInEitherOrder) {
  const std::string gate = "  %gate = aten::sigmoid(%x)\n";
  EXPECT_EQ(raised(gate + "  %out = aten::mul.Tensor(%gate, %x)\n"), Ops{"aten::silu"});
  EXPECT_EQ(raised(gate + "  %out = aten::mul.Tensor(%x, %gate)\n"), Ops{"aten::silu"});
}

TEST(RaiseActivations, LeavesAGateOverAnotherValue) {
  EXPECT_EQ(raised("  %gate = aten::sigmoid(%x)\n  %out = aten::mul.Tensor(%gate, %y)\n"),
            (Ops{"aten::sigmoid", "aten::mul.Tensor"}));
}

TEST(RaiseActivations, KeepsAGateThatIsUsedElsewhere) {
  EXPECT_EQ(raised("  %gate = aten::sigmoid(%x)\n  %silu = aten::mul.Tensor(%gate, %x)\n"
                   "  %out = aten::add.Tensor(%silu, %gate)\n"),
            (Ops{"aten::sigmoid", "aten::silu", "aten::add.Tensor"}));
}

TEST(RaiseActivations, HardSigmoidAndHardSwish) {
  EXPECT_EQ(raised(kClamped + std::string("  %out = aten::div.Tensor(%high, 6)\n")), Ops{"aten::hardsigmoid"});
  EXPECT_EQ(raised(kClamped +
                   std::string("  %product = aten::mul.Tensor(%x, %high)\n  %out = aten::div.Tensor(%product, 6.0)\n")),
            Ops{"aten::hardswish"});
}

TEST(RaiseActivations, LeavesOtherConstants) {
  EXPECT_EQ(raised(kClamped + std::string("  %out = aten::div.Tensor(%high, 5)\n")).size(), 4U);
}

}  // namespace
}  // namespace limbeck::capture
