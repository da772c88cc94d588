#include "limbeck/recipe/class_match.h"

#include <gtest/gtest.h>

#include "limbeck/core/error.h"

namespace limbeck::recipe {
namespace {

using Names = std::vector<std::string>;
using Numbers = std::vector<int64_t>;

ClassMatch match(const ModelClasses& model, const Names& data) { return match_classes(model, data, "[x] model 'm'"); }

TEST(MatchClasses, SaysNothingOfTheSameClasses) {
  for (const auto& [model, data] : {std::pair{Names{"cat", "dog"}, Names{"cat", "dog"}},
                                    {Names{}, Names{"cat", "dog"}},
                                    {Names{}, Names{"0", "1"}},
                                    {Names{}, Names{"10", "9"}},  // folders in torchvision's order
                                    {Names{"T-shirt", "trousers"}, Names{"tshirt", "pants"}},
                                    {Names{"cat", "dog"}, Names{"0", "1"}}}) {
    const ClassMatch same = match({.count = 2, .names = model}, data);
    EXPECT_TRUE(same.classes.empty());
    EXPECT_EQ(same.note, "");
  }
}

TEST(MatchClasses, FindsClassesByTheirNames) {
  const ModelClasses pets{.count = 1200, .names = [] {
                            Names names{"cat", "dog", "owl"};
                            for (int i = 3; i < 1200; ++i) names.push_back("pet " + std::to_string(i));
                            return names;
                          }()};
  const ClassMatch some = match(pets, {"dog", "owl"});
  EXPECT_EQ(some.classes, (Numbers{1, 2}));
  EXPECT_EQ(some.note, "the data has 2 of its 1,200 classes, found by their names");
  const ClassMatch turned = match({.count = 2, .names = {"cat", "dog"}}, {"dog", "cat"});
  EXPECT_EQ(turned.classes, (Numbers{1, 0}));
  EXPECT_EQ(turned.note, "its classes stand in another order than the data's: found by their names");
}

// A folder "7" of digits is class 7, not the third of three folders.
TEST(MatchClasses, TakesNumbersForTheClassesOfAModelThatNamesNone) {
  const ClassMatch digits = match({.count = 10}, {"0", "1", "7"});
  EXPECT_EQ(digits.classes, (Numbers{0, 1, 7}));
  EXPECT_EQ(digits.note, "the data has 3 of its 10 classes, found by their names");
  EXPECT_EQ(match({.count = 10}, {"0", "1"}).note, "the data has 2 of its 10 classes, taken by their numbers");
  const ClassMatch words = match({.count = 10}, {"cat", "dog"});
  EXPECT_TRUE(words.classes.empty());
  EXPECT_EQ(words.note, "the data has 2 of its 10 classes, taken by their numbers");
  const ClassMatch named = match({.count = 3, .names = {"cat", "dog", "owl"}}, {"0", "1"});
  EXPECT_TRUE(named.classes.empty());
  EXPECT_EQ(named.note, "the data has 2 of its 3 classes, taken by their numbers");
}

std::string refusal(const ModelClasses& model, const Names& data) {
  try {
    match(model, data);
  } catch (const InvalidArgument& error) {
    return error.what();
  }
  return "accepted";
}

TEST(MatchClasses, RefusesNamesThatTheModelLacksAndMoreClassesThanItHas) {
  EXPECT_EQ(
      refusal({.count = 3, .names = {"cat", "dog", "owl"}}, {"dog", "zebra"}),
      "[x] model 'm' has 3 classes, and none of them is called 'zebra' as one of the data's 2 is. Give the data's "
      "classes the model's names.");
  EXPECT_EQ(refusal({.count = 1}, {"a", "b"}), "[x] model 'm' has 1 classes and the data has 2.");
}

TEST(ClassesOf, ReadsTheNamesOfAllClassesAlone) {
  graph::Graph graph;
  EXPECT_TRUE(classes_of(graph, 2).names.empty());
  graph.metadata[graph::kLabelsKey] = R"(["cat", "dog"])";
  EXPECT_EQ(classes_of(graph, 2).names, (Names{"cat", "dog"}));
  EXPECT_TRUE(classes_of(graph, 3).names.empty()) << "names of another head";
  graph.metadata[graph::kLabelsKey] = "[1";
  EXPECT_THROW(classes_of(graph, 2), IoError);
}

}  // namespace
}  // namespace limbeck::recipe
