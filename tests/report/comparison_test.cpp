#include "limbeck/report/comparison.h"

#include <gtest/gtest.h>

namespace limbeck::report {
namespace {

TEST(Comparison, TextSaysWhichOutputsAreNoNumbers) {
  Comparison comparison{.dataset = "x/test", .environment = "e", .machine = "m", .rows = {}};
  for (const int64_t count : {0, 1, 1200}) {
    ComparisonRow row;
    row.name = "m" + std::to_string(count);
    row.accuracy.num_samples = 2000;
    row.accuracy.num_not_a_number = count;
    comparison.rows.push_back(row);
  }
  const std::string said =
      "m1: 1 output not a number, counted as wrong. m1200: 1,200 outputs not a number, counted as wrong.";
  EXPECT_NE(to_markdown(comparison).find("Wilson interval. " + said), std::string::npos) << to_markdown(comparison);
  EXPECT_NE(to_text(comparison, 200).find(said), std::string::npos) << to_text(comparison, 200);
}

}  // namespace
}  // namespace limbeck::report
