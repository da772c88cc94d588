#include "limbeck/data/files/class_names.h"

#include "limbeck/core/error.h"
#include "tests/support/mutation.h"

#include <gtest/gtest.h>

namespace limbeck::data {
namespace {

std::string refusal(const std::string& text) {
  try {
    parse_class_names(text, "names.txt");
  } catch (const IoError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(ParseClassNames, TakesLinesOfEitherKind) {
  EXPECT_EQ(parse_class_names("cat\nbig dog\n", "x"), (std::vector<std::string>{"cat", "big dog"}));
  EXPECT_EQ(parse_class_names("cat\r\ndog\r\n\r\n\n", "x"), (std::vector<std::string>{"cat", "dog"}));
  EXPECT_EQ(parse_class_names("é", "x"), (std::vector<std::string>{"é"}));
  EXPECT_TRUE(parse_class_names("", "x").empty());
}

TEST(ParseClassNames, RefusesWhatIsNoListOfNames) {
  EXPECT_EQ(refusal("a\n\nb"), "[data] names.txt: line 2 is empty. Give one name of a class a line.");
  EXPECT_EQ(refusal("a\nb\na"), "[data] names.txt: 'a' stands there twice.");
  EXPECT_NE(refusal("a\n\xff"), "accepted");
  EXPECT_NE(refusal(std::string(1001, 'a')), "accepted");
}

TEST(ParseClassNamesFuzz, SurvivesMutations) {
  const auto counts = testing::fuzz_reader("airplane\nautomobile\nbird\r\ncat\n\n", [](const std::string& text) {
    for (const std::string& name : parse_class_names(text, "mutant")) ASSERT_FALSE(name.empty());
  });
  EXPECT_GT(counts.accepted, 0);
  EXPECT_GT(counts.refused, 0);
}

}  // namespace
}  // namespace limbeck::data
