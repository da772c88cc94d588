#include "limbeck/graph/capture/pt2/sympy.h"

#include <gtest/gtest.h>

#include "limbeck/core/error.h"

namespace limbeck::capture {
namespace {

using graph::IntExpr;

const IntExpr s = IntExpr::symbol("s77");

TEST(Sympy, ReadsSrepr) {
  EXPECT_EQ(parse_sympy("Symbol('s77', positive=True, integer=True)"), s);
  EXPECT_EQ(parse_sympy("Integer(-3)"), IntExpr(-3));
  EXPECT_EQ(parse_sympy("Mul(Integer(16), Symbol('s77', positive=True, integer=True))"), IntExpr(16) * s);
  EXPECT_EQ(parse_sympy("Add(Pow(Symbol('s77'), Integer(2)), Integer(1))"), s * s + IntExpr(1));
  EXPECT_EQ(parse_sympy("FloorDiv(Symbol('s77'), Integer(2))"), floor_div(s, 2));
  EXPECT_EQ(parse_sympy("Mod(Symbol('s77'), Integer(2))"), mod(s, 2));
  EXPECT_EQ(parse_sympy("Max(Integer(4), Symbol('s77'))"), max(IntExpr(4), s));
}

TEST(Sympy, ReadsInfixOfOlderFiles) {
  EXPECT_EQ(parse_sympy("16*s77"), IntExpr(16) * s);
  EXPECT_EQ(parse_sympy("((s77//2)) + 1"), floor_div(s, 2) + IntExpr(1));
  EXPECT_EQ(parse_sympy("3"), IntExpr(3));
}

TEST(Sympy, RefusesWhatItCannotExpress) {
  EXPECT_THROW(parse_sympy("Mul(Rational(1, 2), Symbol('s77'))"), Unsupported);
  EXPECT_THROW(parse_sympy("Symbol('s77'"), IoError);
  EXPECT_THROW(parse_sympy("Symbol('s77') x"), IoError);
  EXPECT_THROW(parse_sympy("Pow(Symbol('s77'), Integer(99))"), IoError);
  EXPECT_THROW(parse_sympy("Mul(Integer(9223372036854775807), Integer(9223372036854775807))"), IoError);
  EXPECT_THROW(parse_sympy("FloorDiv(Integer(1), Integer(0))"), IoError);
  EXPECT_THROW(parse_sympy(""), IoError);
  std::string deep = "Integer(1)";
  for (int i = 0; i < 100; ++i) deep = "Add(Integer(1), " + deep + ")";
  EXPECT_THROW(parse_sympy(deep), IoError);
  EXPECT_THROW(parse_sympy(std::string(5000, '1')), IoError);
}

}  // namespace
}  // namespace limbeck::capture
