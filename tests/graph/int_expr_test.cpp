#include "limbeck/graph/int_expr.h"

#include <gtest/gtest.h>

#include "limbeck/core/error.h"

namespace limbeck::graph {
namespace {

const IntExpr B = IntExpr::symbol("B"), H = IntExpr::symbol("H"), W = IntExpr::symbol("W");

TEST(IntExpr, HasOneNormalForm) {
  EXPECT_EQ(B + H, H + B);
  EXPECT_EQ((B + 1) * (B - 1), B * B - 1);
  EXPECT_EQ(B * 2 - B - B, IntExpr(0));
  EXPECT_EQ((B * H) * W, W * (H * B));
  EXPECT_EQ(max(B, H), max(H, B));
  EXPECT_EQ((B - B + 7).constant(), 7);
  EXPECT_EQ(B.symbol_name(), "B");
  EXPECT_EQ((B + 1).symbol_name(), std::nullopt);
  EXPECT_EQ((B * H + max(W, 3)).symbols(), (std::set<std::string>{"B", "H", "W"}));
}

TEST(IntExpr, DividesWhatIsDivisible) {
  EXPECT_EQ(floor_div(B * 64, B), IntExpr(64));
  EXPECT_EQ(floor_div(B * 64, 64), B);
  EXPECT_EQ(floor_div(B * 64 + 63, 64), B);
  EXPECT_EQ(floor_div(B * H * 6, H * 2), B * 3);
  EXPECT_EQ(mod(B * 64 + 5, 64), IntExpr(5));
  EXPECT_EQ(mod(B * H, H), IntExpr(0));
  EXPECT_EQ(floor_div(H + 1, 2).to_string(), "((H + 1)//2)");
  EXPECT_EQ(floor_div(H + 4, 2), floor_div(H, 2) + 2);
  EXPECT_EQ(max(B, B + 1), B + 1);
  EXPECT_EQ(min(B, B + 1), B);
  EXPECT_EQ(ceil_div(IntExpr(7), 2), IntExpr(4));
}

TEST(IntExpr, RoundsAsPython) {
  for (const int64_t a : {-7, -6, -1, 0, 1, 6, 7}) {
    for (const int64_t b : {-3, -2, -1, 1, 2, 3}) {
      const int64_t quotient = *floor_div(IntExpr(a), IntExpr(b)).constant();
      const int64_t rest = *mod(IntExpr(a), IntExpr(b)).constant();
      EXPECT_EQ(quotient * b + rest, a) << a << " // " << b;
      EXPECT_TRUE(b > 0 ? rest >= 0 && rest < b : rest <= 0 && rest > b) << a << " % " << b;
      // A symbolic dividend gives the same once it has a value.
      EXPECT_EQ(floor_div(B, b).evaluate({{"B", a}}), quotient);
      EXPECT_EQ(mod(B, b).evaluate({{"B", a}}), rest);
    }
  }
}

TEST(IntExpr, PrintsWhatItReads) {
  const IntExpr expressions[] = {IntExpr(0),
                                 IntExpr(-5),
                                 B,
                                 B * 64,
                                 floor_div(H + 1, 2) + 3,
                                 max(B, 4) * W - min(H, W),
                                 mod(B + H, 3) * -2,
                                 floor_div(B, H + 1),
                                 floor_div(floor_div(H - 1, 2), W) * B,
                                 IntExpr(INT64_MIN),
                                 B * B * B - 1};
  for (const IntExpr& expression : expressions) {
    EXPECT_EQ(IntExpr::parse(expression.to_string()), expression) << expression.to_string();
  }
}

TEST(IntExpr, ReadsSympy) {
  EXPECT_EQ(IntExpr::parse("Mod(s0, 2)"), mod(IntExpr::symbol("s0"), 2));
  EXPECT_EQ(IntExpr::parse("FloorDiv(s0, 2)"), floor_div(IntExpr::symbol("s0"), 2));
  EXPECT_EQ(IntExpr::parse("((s77//2)) + 1"), floor_div(IntExpr::symbol("s77"), 2) + 1);
  EXPECT_EQ(IntExpr::parse("s0**2"), IntExpr::symbol("s0") * IntExpr::symbol("s0"));
  EXPECT_EQ(IntExpr::parse("-s0**2"), IntExpr(0) - IntExpr::symbol("s0") * IntExpr::symbol("s0"));
  EXPECT_EQ(IntExpr::parse("-2**2").constant(), -4);
  EXPECT_EQ(IntExpr::parse("Max(1, s0, s1)"), max(max(1, IntExpr::symbol("s0")), IntExpr::symbol("s1")));
  EXPECT_EQ(IntExpr::parse("PythonMod(s0, 4)"), mod(IntExpr::symbol("s0"), 4));
  EXPECT_EQ(IntExpr::parse(" -  B +2*3 "), IntExpr(6) - B);
}

TEST(IntExpr, RefusesWhatItCannotRead) {
  for (const char* text : {"", " ", "B +", "(B", "B)", "2B", "B $ H", "sqrt(B)", "FloorDiv(B)", "B ** -1", "B ** 9",
                           "B // 0", "9223372036854775808", "a.b", "B / 2"}) {
    EXPECT_THROW(IntExpr::parse(text), InvalidArgument) << text;
  }
}

TEST(IntExpr, BoundsNestingAndSize) {
  const std::string deep = std::string(100000, '(') + "B" + std::string(100000, ')');
  EXPECT_THROW(IntExpr::parse(deep), InvalidArgument);
  EXPECT_THROW(IntExpr::parse(std::string(100000, '-') + "B"), InvalidArgument);
  std::string wide = "(a0";
  for (int i = 1; i < 40; ++i) wide += "+a" + std::to_string(i);
  wide += ")";
  EXPECT_THROW(IntExpr::parse(wide + "**8"), InvalidArgument);
}

TEST(IntExpr, RefusesOverflow) {
  const IntExpr huge = INT64_MAX;
  EXPECT_THROW(huge + 1, InvalidArgument);
  EXPECT_THROW(huge * 2, InvalidArgument);
  EXPECT_THROW(B * huge + B, InvalidArgument);
  EXPECT_THROW(floor_div(IntExpr(INT64_MIN), -1), InvalidArgument);
  EXPECT_THROW((B * huge).evaluate({{"B", 2}}), InvalidArgument);
  EXPECT_THROW(floor_div(B, H).evaluate({{"B", 2}, {"H", 0}}), InvalidArgument);
}

TEST(IntExpr, EvaluatesAndSubstitutes) {
  const IntExpr size = floor_div(H - 1, 2) + 1;
  EXPECT_EQ(size.evaluate({{"H", 224}}), 112);
  EXPECT_THROW(size.evaluate({}), InvalidArgument);
  EXPECT_EQ((B * H).substitute({{"H", W + 1}}), B * W + B);
  EXPECT_EQ((max(B, H) + mod(B, 3)).substitute({{"B", 5}, {"H", 7}}).constant(), 9);
}

TEST(IntExpr, RefusesNamesThatAreNone) {
  EXPECT_THROW(IntExpr::symbol(""), InvalidArgument);
  EXPECT_THROW(IntExpr::symbol("1a"), InvalidArgument);
  EXPECT_THROW(IntExpr::symbol("a b"), InvalidArgument);
}

}  // namespace
}  // namespace limbeck::graph
