#include "limbeck/core/error.h"

#include <gtest/gtest.h>

#include <vector>

namespace limbeck {
namespace {

const std::vector<std::string> kNames = {"layer1.0.conv1", "layer1.0.conv2", "layer3.0.conv1", "fc", "head.norm"};

TEST(NearestHint, IsASentenceOrNothing) {
  EXPECT_EQ(nearest_hint("cf", kNames), " Nearest: fc.");
  EXPECT_EQ(nearest_hint("quite another", kNames), "");
}

TEST(NearestNames, FindsSlipsOfTheKeyboard) {
  EXPECT_EQ(nearest_names("layer1.0.convl", kNames, 1), "layer1.0.conv1");
  EXPECT_EQ(nearest_names("cf", kNames), "fc");
  EXPECT_EQ(nearest_names("Layer3.0.CONV1", kNames, 1), "layer3.0.conv1");
}

TEST(NearestNames, OrdersByDistanceAndKeepsTheLimit) {
  EXPECT_EQ(nearest_names("layer1.0.conv1", kNames, 2), "layer1.0.conv1, layer1.0.conv2");
  EXPECT_EQ(nearest_names("layer1.0.conv1", kNames, 0), "");
}

TEST(NearestNames, FindsPartsOfNames) {
  EXPECT_EQ(nearest_names("norm", kNames), "head.norm");
  EXPECT_EQ(nearest_names("model.fc", kNames), "fc");
}

TEST(NearestNames, IsEmptyWhereNothingIsNear) {
  EXPECT_EQ(nearest_names("transformer", kNames), "");
  EXPECT_EQ(nearest_names("fc", {}), "");
  EXPECT_EQ(nearest_names("", kNames), "");
  EXPECT_EQ(nearest_names("a", std::vector<std::string>{"b"}), "") << "one letter of one is all of it";
}

TEST(Errors, CarryTheirMessageAndClass) {
  try {
    LIMBECK_CHECK(1 > 2, "[x] got {}", 3);
    FAIL() << "no exception";
  } catch (const InvalidArgument& error) {
    EXPECT_STREQ(error.what(), "[x] got 3");
  }
  EXPECT_THROW(LIMBECK_ASSERT(false, "bug"), InternalError);
  EXPECT_THROW(fail<IoError>("{}", 1), Error);
}

}  // namespace
}  // namespace limbeck
