#include "limbeck/report/trials.h"

#include <gtest/gtest.h>

namespace limbeck::report {
namespace {

/// Two learning rates with three and one seeds.
TrialTable table() {
  TrialTable result;
  const auto add = [&](const char* lr, uint64_t seed, double value) {
    result.rows.push_back({.name = "run",
                           .settings = {{"lr", lr}},
                           .seed = seed,
                           .scores = {{.model = "m", .metric = "top-1", .value = value}}});
  };
  add("0.1", 0, 0.90);
  add("0.1", 1, 0.92);
  add("0.01", 0, 0.5);
  add("0.1", 2, 0.97);
  return result;
}

TEST(TrialTable, HasMeanAndSampleDeviationOverTheSeeds) {
  const std::vector<SeedStatistics> statistics = seed_statistics(table());
  ASSERT_EQ(statistics.size(), 2U);
  EXPECT_EQ(statistics[0].values, (std::vector<double>{0.90, 0.92, 0.97}));
  EXPECT_NEAR(statistics[0].mean, 0.93, 1e-12);
  EXPECT_NEAR(statistics[0].stddev, 0.036055512754639896, 1e-12);  // statistics.stdev([0.9, 0.92, 0.97])
  EXPECT_EQ(statistics[1].stddev, 0);
}

TEST(TrialTable, FitsATerminalAndListsEachValue) {
  const std::string text = to_text(table(), 80);
  EXPECT_NE(text.find("0.1   m      top-1     93.00 %    3.61  90.00 92.00 97.00"), std::string::npos) << text;
  EXPECT_NE(text.find("0.01  m      top-1     50.00 %       -  50.00"), std::string::npos) << text;
  std::size_t longest = 0;
  for (std::size_t start = 0; start < text.size();) {
    const std::size_t end = text.find('\n', start);
    longest = std::max(longest, end - start);
    start = end + 1;
  }
  EXPECT_LE(longest, 80U) << text;
  EXPECT_NE(to_markdown(table()).find("| 0.1 | m | top-1 | 93.00 % | 3.61 | 90.00 92.00 97.00 |"), std::string::npos)
      << to_markdown(table());
}

TEST(TrialTable, WithoutSeedsHasValuesAlone) {
  TrialTable one;
  one.rows = {table().rows[0], table().rows[2]};
  EXPECT_EQ(to_text(one).find("stddev"), std::string::npos) << to_text(one);
  const core::Json json = to_json(one);
  EXPECT_EQ(json.find("runs")->as_array().size(), 2U);
  EXPECT_EQ(json.find("statistics")->as_array().size(), 2U);
}

}  // namespace
}  // namespace limbeck::report
