#include "limbeck/graph/capture/pt2/guards.h"

#include <gtest/gtest.h>

namespace limbeck::capture {
namespace {

using graph::Check;
using graph::IntExpr;

const std::vector<graph::InputSpec>& inputs() {
  static const std::vector<graph::InputSpec> specs{
      {.name = "x",
       .type = {graph::TensorType{.sizes = graph::Sizes{IntExpr::symbol("B"), 8}, .strides = std::nullopt}}},
      {.name = "mask",
       .type = {graph::TensorType{.sizes = graph::Sizes{IntExpr::symbol("B")}, .strides = std::nullopt}}}};
  return specs;
}

TEST(Guards, ReadsComparisonsOfSizes) {
  const auto check = parse_guard("(L['x'].size()[0] % 2) == 0", inputs());
  ASSERT_TRUE(check);
  EXPECT_EQ(check->left, mod(IntExpr::symbol("B"), 2));
  EXPECT_EQ(check->right, IntExpr(0));
  EXPECT_EQ(check->relation, Check::Relation::equal);
  EXPECT_NE(check->message.find("L['x'].size()[0] % 2"), std::string::npos);
  EXPECT_TRUE(is_informative(*check));
}

TEST(Guards, TurnsGreaterIntoLess) {
  const auto check = parse_guard("L['x'].size()[0] >= 4", inputs());
  ASSERT_TRUE(check);
  EXPECT_EQ(check->relation, Check::Relation::less_equal);
  EXPECT_EQ(check->left, IntExpr(4));
}

TEST(Guards, KnowsWhatHoldsAnyway) {
  EXPECT_FALSE(is_informative(*parse_guard("L['mask'].size()[0] == L['x'].size()[0]", inputs())));
  EXPECT_FALSE(is_informative(*parse_guard("L['x'].size()[1] < 9", inputs())));
  EXPECT_TRUE(is_informative(*parse_guard("L['x'].size()[1] < 8", inputs())));
}

TEST(Guards, LeavesOtherConditionsAlone) {
  EXPECT_FALSE(parse_guard("L['x'].stride()[0] == 8", inputs()));
  EXPECT_FALSE(parse_guard("L['y'].size()[0] == 8", inputs()));
  EXPECT_FALSE(parse_guard("L['x'].size()[7] == 8", inputs()));
  EXPECT_FALSE(parse_guard("L['x'].size()[0] == 8 and L['x'].size()[1] == 8", inputs()));
  EXPECT_FALSE(parse_guard("2 <= L['x'].size()[0] <= 8", inputs()));
  EXPECT_FALSE(parse_guard("", inputs()));
}

}  // namespace
}  // namespace limbeck::capture
