#include <gtest/gtest.h>

#include <sstream>

#include "tests/cli/process.h"
#include "tests/cli/tiny.h"

namespace limbeck::testing {
namespace {

const std::vector<std::string> kVerbs{"run",     "train",   "distill", "evaluate", "infer",
                                      "profile", "capture", "show",    "doctor",   "data"};

TEST(Usage, HelpListsTheVerbsAndExitCodes) {
  const Finished help = run_limbeck({"--help"});
  EXPECT_EQ(help.exit_code, 0);
  for (const std::string& verb : kVerbs) EXPECT_TRUE(contains(help.out, "\n  " + verb + " ")) << verb << help.out;
  EXPECT_TRUE(contains(help.out, "130 interrupted after saving"));
  EXPECT_EQ(help.err, "");
}

TEST(Usage, HelpOfEveryVerbHasAnExample) {
  for (const std::string& verb : kVerbs) {
    const Finished help = run_limbeck({verb, "--help"});
    EXPECT_EQ(help.exit_code, 0) << verb;
    EXPECT_TRUE(contains(help.out, "Example:\n  limbeck " + verb)) << help.out;
    EXPECT_TRUE(contains(help.out, "--json")) << verb;
  }
}

TEST(Usage, HelpFitsInto80Columns) {
  for (const std::string& verb : kVerbs) {
    std::istringstream help(run_limbeck({"help", verb}).out);
    int num_lines = 0;
    for (std::string line; std::getline(help, line); ++num_lines) EXPECT_LE(line.size(), 80U) << verb << ": " << line;
    EXPECT_GT(num_lines, 5) << verb;
  }
}

TEST(Usage, HelpShowsDefaultsOfEveryType) {
  const std::string help = run_limbeck({"train", "--help"}).out;
  for (const char* flag : {"--epochs VALUE=1 ", "--optimizer.lr VALUE=0.1 ", "--optimizer.kind VALUE=sgd ",
                           "--optimizer.nesterov VALUE=false", "--data.batch_size VALUE=128"})
    EXPECT_TRUE(contains(help, flag)) << flag << help;
  EXPECT_TRUE(contains(help, "--data.train_transforms VALUE")) << help;
}

TEST(Usage, VersionIsOneLine) {
  const Finished version = run_limbeck({"--version"});
  EXPECT_EQ(version.exit_code, 0);
  EXPECT_EQ(version.out.find('\n'), version.out.size() - 1);
  EXPECT_TRUE(contains(version.out, "."));
}

struct Wrong {
  std::vector<std::string> arguments;
  std::string message;
};

TEST(Usage, WrongUsageGivesTwoAndAReason) {
  const std::vector<Wrong> all{
      {{}, "subcommand"},
      {{"trian"}, "there is no verb 'trian'. Nearest: train"},
      {{"train", kTinyModel}, "--data"},
      {{"train", kTinyModel, "--data", kTinyData, "-o", "x", "--epoch", "1"},
       "train has no flag '--epoch'. Nearest: --epochs"},
      {{"train", kTinyModel, "--data", kTinyData, "-o", "x", "--epochs", "two"},
       "--epochs: 'epochs' must be an integer, got 'two'"},
      {{"train", kTinyModel, "--data", kTinyData, "-o", "x", "--epochs", "0"},
       "command line: [train] epochs must be at least 1, got 0"},
      {{"distill", "--student", "a", "--teacher", "b", "--data", "c", "-o", "x", "--feature", "l=l:-1"},
       "the weight of feature 'l' must be at least 0, got -1"},
      {{"distill", "--student", "a", "--teacher", "b", "--data", "c", "-o", "x", "--feature", "nonsense"}, "nonsense"},
      {{"profile", "resnet18", "--batch", "0"}, "--batch"},
      {{"profile", "resnet18", "--threads", "40000"}, "40000 not in range 0 to 4096"},
      {{"profile", "resnet18", "--device", "tpu"}, "'tpu' is no device. Use cpu, cuda, cuda:INDEX or xpu."},
      {{"infer", "resnet18", "--input", "a.png", "--device", "tpu"}, "'tpu' is no device"},
      {{"train", kTinyModel, "--data", kTinyData, "-o", "x", "--device", "tpu"}, "'tpu' is no device"},
      {{"distill", "--student", "a", "--teacher", "b", "--data", "c", "-o", "x", "--device", "tpu"},
       "'tpu' is no device"},
      {{"evaluate", kTinyModel, "--data", kTinyData, "--device", "tpu"}, "'tpu' is no device"},
      {{"train", kTinyModel, "--data", kTinyData, "-o", ""}, "-o"},
      {{"infer", "resnet18", "--input", "a.png", "--top", "0"}, "--top"},
      {{"infer", "resnet18", "--input", "a.safetensors", "b.png"}, "one .safetensors"},
      {{"capture"}, "--python"},
      {{"capture", "zoo:resnet18"}, "-o"},
      {{"show"}, "--zoo"},
      {{"data"}, "dataset"},
      {{"run", "r.yaml", "--set", "epochs"}, "key=value"},
  };
  for (const Wrong& wrong : all) {
    const Finished done = run_limbeck(wrong.arguments);
    EXPECT_EQ(done.exit_code, 2) << wrong.message << "\n" << done.err;
    EXPECT_TRUE(contains(done.err, wrong.message)) << wrong.message << "\n" << done.err;
    EXPECT_EQ(done.out, "");
  }
}

}  // namespace
}  // namespace limbeck::testing
