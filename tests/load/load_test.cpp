#include "limbeck/load/load.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"
#include "limbeck/graph/weights/tensors.h"

namespace limbeck {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTiny = "zoo:resnet_basic?widths=4,8,8&blocks=1,1,1&classes=10";

/// Small files that Python's torch wrote.
fs::path data(const char* name) { return fs::path(LIMBECK_SOURCE_DIR) / "tests/graph/weights/data" / name; }

template <class E>
std::string refusal(const std::string& what) {
  try {
    identify_model(what);
  } catch (const E& error) {
    return error.what();
  }
  ADD_FAILURE() << what << " was taken";
  return {};
}

void expect_contains(const std::string& text, std::string_view part) {
  EXPECT_NE(text.find(part), std::string::npos) << text;
}

std::vector<weights::NamedTensor> weights_of(const Model& model) {
  std::vector<weights::NamedTensor> tensors;
  for (const NamedTensor& entry : model.state_dict()) tensors.push_back({entry.name, entry.tensor.detach()});
  return tensors;
}

at::Tensor image(const Model& model) {
  std::vector<int64_t> sizes = {2};
  const graph::Sizes& known = *model.graph().inputs.at(0).type.tensor()->sizes;
  for (std::size_t axis = 1; axis < known.size(); ++axis) sizes.push_back(*known[axis].constant());
  at::manual_seed(1);
  return at::randn(sizes);
}

TEST(Load, ZooModelWithOptionsStartsInEvalMode) {
  Model model = load(kTiny);
  EXPECT_FALSE(model.is_training());
  EXPECT_EQ(model(image(model)).sizes(), (std::vector<int64_t>{2, 10}));
}

TEST(Load, SeedDecidesTheWeights) {
  Model a = load(kTiny, {.seed = 1}), b = load(kTiny, {.seed = 1}), c = load(kTiny, {.seed = 2});
  EXPECT_TRUE(at::equal(a.parameters()[0], b.parameters()[0]));
  EXPECT_FALSE(at::equal(a.parameters()[0], c.parameters()[0]));
}

TEST(Load, LmbRoundTrip) {
  const core::TemporaryDirectory folder;
  const std::string path = (folder.path() / "model.lmb").string();
  Model model = load(kTiny, {.seed = 3});
  model.save(path);
  EXPECT_EQ(identify_model(path), ModelSource::lmb);
  Model loaded = load(path);
  const at::Tensor x = image(model);
  EXPECT_TRUE(at::equal(loaded(x), model(x)));
}

TEST(Load, TakesWeightsOfAnotherFile) {
  const core::TemporaryDirectory folder;
  const std::string path = (folder.path() / "weights.safetensors").string();
  Model model = load(kTiny, {.seed = 3});
  weights::write_tensors(path, weights_of(model));
  Model loaded = load(kTiny, {.seed = 4, .weights = path});
  const at::Tensor x = image(model);
  EXPECT_TRUE(at::equal(loaded(x), model(x)));
}

TEST(Load, ContentDecidesNotTheName) {
  EXPECT_EQ(identify_model(data("exported.pt2").string()), ModelSource::pt2);
  const core::TemporaryDirectory folder;
  const fs::path renamed = folder.path() / "export.lmb";
  fs::copy_file(data("exported.pt2"), renamed);
  EXPECT_EQ(identify_model(renamed.string()), ModelSource::pt2);
}

TEST(Load, UnknownZooNameNamesTheNearest) {
  expect_contains(refusal<InvalidArgument>("resnet81"), "no model of the zoo. Nearest in the zoo: resnet18");
  EXPECT_THROW(load("zoo:resnet81"), InvalidArgument);
}

TEST(Load, MissingFileNamesTheNearest) {
  expect_contains(refusal<IoError>(data("exportde.pt2").string()), "Nearest files: exported.pt2");
  expect_contains(refusal<IoError>("no/such/folder/model.pt2"), "there is no folder 'no/such/folder'");
  expect_contains(refusal<InvalidArgument>(data("").parent_path().string()), "is a folder. Name one of its files");
  expect_contains(refusal<InvalidArgument>(""), "no model named");
}

TEST(Load, WeightsWithoutAModelSayHowToUseThem) {
  for (const char* name : {"protocol3.pth", "views_legacy.pth"}) {
    const std::string message = refusal<Unsupported>(data(name).string());
    expect_contains(message, "--weights");
    expect_contains(message, "limbeck capture --python");
  }
  const core::TemporaryDirectory folder;
  const std::string path = (folder.path() / "weights.safetensors").string();
  weights::write_tensors(path, weights_of(load(kTiny)));
  expect_contains(refusal<Unsupported>(path), "holds weights without a model");
}

TEST(Load, PickledModuleSaysHowToExportIt) {
  const std::string message = refusal<Unsupported>(data("module.pth").string());
  expect_contains(message, "is a pickled module");
  expect_contains(message, "limbeck capture --python");
}

TEST(Load, DamagedFilesAreRefused) {
  const core::TemporaryDirectory folder;
  const std::string empty = (folder.path() / "empty.lmb").string(), text = (folder.path() / "text.lmb").string(),
                    cut = (folder.path() / "cut.pt2").string(), cut_lmb = (folder.path() / "cut.lmb").string();
  core::write_file(empty, std::string_view());
  core::write_file(text, "hello, this is a text file");
  const std::string whole = core::read_file(data("exported.pt2"));
  core::write_file(cut, std::string_view(whole).substr(0, whole.size() / 2));
  expect_contains(refusal<IoError>(empty), "is empty");
  expect_contains(refusal<IoError>(text), "is no model: neither .lmb nor .pt2");
  expect_contains(refusal<IoError>(cut), "cut.pt2");
  load(kTiny).save(cut_lmb);
  const std::string lmb = core::read_file(cut_lmb);
  core::write_file(cut_lmb, std::string_view(lmb).substr(0, lmb.size() / 2));
  EXPECT_THROW(load(cut_lmb), IoError);
}

TEST(Load, TrainExportNeedsAnExport) {
  try {
    load(kTiny, {.train = "train.pt2"});
    FAIL();
  } catch (const InvalidArgument& error) {
    expect_contains(error.what(), "a model of the zoo");
  }
}

}  // namespace
}  // namespace limbeck
