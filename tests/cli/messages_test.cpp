// What the tool says when something is wrong: where, the rule, what came, what to do. Exit code 1.
#include <gtest/gtest.h>

#include "tests/cli/process.h"
#include "tests/cli/tiny.h"

namespace limbeck::testing {
namespace {

namespace fs = std::filesystem;

class Messages : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }

  static std::string failure(const std::vector<std::string>& arguments, const ProcessOptions& options = {}) {
    const Finished done = run_limbeck(arguments, options);
    EXPECT_EQ(done.exit_code, 1) << done.out << done.err;
    EXPECT_EQ(done.out, "");
    EXPECT_EQ(done.err.substr(0, 9), "limbeck: ");
    EXPECT_FALSE(contains(done.err, "unexpected")) << done.err;
    return done.err;
  }

  std::string train_failure(const std::vector<std::string>& more, const char* model = kTinyModel) const {
    std::vector<std::string> arguments{"train", model, "--data", kTinyData, "-o", path("out"), "-q"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return failure(arguments);
  }

  core::TemporaryDirectory folder_;
};

#define EXPECT_SAYS(text, part) EXPECT_TRUE(contains(text, part)) << (text)

TEST_F(Messages, WrongPathNamesTheNearestFile) {
  core::write_file(path("student.lmb"), "x");
  const std::string text = failure({"show", path("studnet.lmb")});
  EXPECT_SAYS(text, "studnet.lmb' is no file");
  EXPECT_SAYS(text, "Nearest files: student.lmb");
  EXPECT_SAYS(failure({"show", "resnet81"}), "resnet18");
  EXPECT_SAYS(failure({"run", path("nothing.yaml")}), "nothing.yaml");
  EXPECT_SAYS(failure({"show", path("no/such/folder.lmb")}), "there is no folder");
}

TEST_F(Messages, WrongClassCountNamesBothCounts) {
  const std::string text = train_failure({}, "resnet_basic?widths=4,8&blocks=1,1&image_size=8&in_channels=1&classes=7");
  EXPECT_SAYS(text, "[1, 7]");
  EXPECT_SAYS(text, "has 4 classes");
  EXPECT_SAYS(text, "classes=4");
}

TEST_F(Messages, WrongImageShapeNamesTheModelAndBothShapes) {
  const std::string text =
      train_failure({}, "resnet_basic?widths=4,8&blocks=1,1&image_size=16&in_channels=1&classes=4");
  EXPECT_SAYS(text, "model 'model' takes images [1, 16, 16]");
  EXPECT_SAYS(text, "has [1, 8, 8]");
  EXPECT_SAYS(text, "image_size=8");
}

TEST_F(Messages, ShapeMismatchNamesTheParameter) {
  const std::string text =
      failure({"capture", "zoo:resnet_basic?widths=4,8&blocks=1,1&image_size=8&in_channels=1&classes=9", "--weights",
               tiny_trained_model().string(), "-o", path("x.lmb")});
  EXPECT_SAYS(text, "size mismatch for 'fc.weight'");
  EXPECT_SAYS(text, "[4, 8]");
  EXPECT_SAYS(text, "[9, 8]");
  EXPECT_SAYS(text, "model of 4 classes");
  EXPECT_SAYS(text, "replace_head: {at: fc, classes: 9}");
  EXPECT_SAYS(text, "--model.replace_head.at fc --model.replace_head.classes 9");
  EXPECT_FALSE(fs::exists(path("x.lmb")));
}

TEST_F(Messages, NoSpaceLeftNamesTheFile) {
  fs::create_directory(path("disk"));
  const ProcessOptions options{.tiny_disk = path("disk"), .tiny_disk_bytes = 16384};
  const std::string text = failure({"capture", std::string("zoo:") + kTinyModel, "-o", path("disk/x.lmb")}, options);
  EXPECT_SAYS(text, path("disk/x.lmb"));
  // Where this process may mount nothing, a limit on the size of files stands for the full disk.
  EXPECT_TRUE(contains(text, "no space left on device while writing") || contains(text, "File too large")) << text;
  EXPECT_TRUE(fs::is_empty(path("disk")));
}

TEST_F(Messages, TruncatedFilesAreNamed) {
  const std::string model = core::read_file(tiny_trained_model());
  for (const std::size_t kept : {std::size_t{0}, std::size_t{7}, model.size() / 2, model.size() - 1}) {
    core::write_file(path("cut.lmb"), model.substr(0, kept));
    EXPECT_SAYS(failure({"show", path("cut.lmb")}), path("cut.lmb"));
  }
  const std::string archive = core::read_file(test_file("graph/capture/data/tiny_pair.pt2"));
  core::write_file(path("cut.pt2"), archive.substr(0, archive.size() / 2));
  EXPECT_SAYS(failure({"capture", path("cut.pt2"), "-o", path("x.lmb")}), path("cut.pt2"));
  const std::string image = core::read_file(test_file("data/images/rgb.png"));
  core::write_file(path("cut.png"), image.substr(0, image.size() / 2));
  EXPECT_SAYS(failure({"infer", tiny_trained_model().string(), "--input", path("cut.png")}), path("cut.png"));
}

TEST_F(Messages, UnreadableFilesAreNamed) {
  EXPECT_SAYS(failure({"show", path("")}), "is a folder");
  fs::create_directory(path("folder.png"));
  EXPECT_SAYS(failure({"infer", tiny_trained_model().string(), "--input", path("folder.png")}), path("folder.png"));
  fs::create_directory(path("folder.yaml"));
  EXPECT_SAYS(failure({"run", path("folder.yaml")}), path("folder.yaml"));
  core::write_file(path("text.lmb"), "this is no model");
  EXPECT_SAYS(failure({"show", path("text.lmb")}), "is no model: neither .lmb nor .pt2");
}

TEST_F(Messages, BatchLargerThanTheDataNamesBothSizes) {
  const std::string text = train_failure({"--data.batch_size", "100"});
  EXPECT_SAYS(text, "100");
  EXPECT_SAYS(text, "64");
  EXPECT_SAYS(text, "batch");
}

TEST_F(Messages, RecipesNameFileLineAndNearestKey) {
  core::write_file(path("r.yaml"), "name: x\ndata: {dataset: fashion-mnist}\nmodles: {}\nstages: []\n");
  const Finished done = run_limbeck({"run", path("r.yaml")});
  EXPECT_EQ(done.exit_code, 2);
  EXPECT_SAYS(done.err, path("r.yaml") + ":3:1: unknown key 'modles'. Nearest: models");
}

TEST_F(Messages, UnknownDatasetsNameTheNearest) {
  const Finished done = run_limbeck({"data", "fashion-mnits"});
  EXPECT_EQ(done.exit_code, 1);
  EXPECT_SAYS(done.err, "did you mean fashion-mnist?");
}

}  // namespace
}  // namespace limbeck::testing
