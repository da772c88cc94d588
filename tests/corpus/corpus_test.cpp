// Foreign models against Python eager: the fast ones and random architectures, or all. Prints for each model what it
// was checked for.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <cstdio>

#include "tests/corpus/corpus_checks.h"

namespace limbeck::testing {
namespace {

class Corpus : public ::testing::TestWithParam<std::string> {};

TEST_P(Corpus, RunsAsInPython) {
  use_reference_settings();
  const CorpusModel corpus(corpus_folder() / GetParam());
  std::string line = fmt::format("{:<28}", corpus.name());
  for (const CheckResult& result : check_model(corpus)) {
    line += fmt::format(" | {}: {}", result.name, result.verdict);
    EXPECT_TRUE(result.passed) << corpus.name() << ", " << result.name << ": " << result.verdict;
  }
  fmt::print("{}\n", line);
  std::fflush(stdout);
}

INSTANTIATE_TEST_SUITE_P(Models, Corpus, ::testing::ValuesIn(corpus_models()),
                         [](const auto& test) { return test.param; });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Corpus);

TEST(CorpusFolder, HoldsWhatIsToBeChecked) {
  const std::size_t wanted = corpus_selection() == "none" ? 0 : corpus_selection() == "all" ? 30 : 8;
  EXPECT_GE(corpus_models().size(), wanted) << corpus_folder() << " is not complete: run tests/export/make_corpus.py";
}

}  // namespace
}  // namespace limbeck::testing
