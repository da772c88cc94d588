#include "limbeck/graph/lmb.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>

#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"
#include "limbeck/core/files/safetensors.h"
#include "limbeck/core/json/json.h"
#include "limbeck/graph/text/text.h"
#include "tests/support/mutation.h"

namespace limbeck::graph {
namespace {

Graph graph_with_weights() {
  Graph graph = parse(R"(graph tiny(%x: f32[B, 4]) as tuple(*)
  block 96
  param %w: f32[4, 4] grad
  param tied: f32[4, 4] grad = w
  param a: f32[4, 6]{6, 1} in block 0 at 0
  param b: f32[6, 2]{1, 6} in block 0 at 48
  param last: f32[2, 3, 2, 2]{12, 1, 6, 3}
  buffer %count: i64[]
  buffer half: bf16[3] transient
  buffer empty: f32[0, 3]
  %y = aten::linear(%x, %w)  # fc
  %next = aten::add.Tensor(%count, 1)
  train: (out=%y)
  eval: (out=%y)
  write count = %next when train
  meta labels = "cat,dog"
)");
  float next = 0;
  for (const Parameter& parameter : graph.parameters()) {
    if (parameter.name == "tied") continue;
    const at::Tensor values = at::arange(parameter.tensor.numel(), at::kFloat).view(parameter.tensor.sizes()) + next++;
    parameter.tensor.detach().copy_(values);
  }
  return graph;
}

/// What is needed for two graphs to be the same: text and tensors.
void expect_same(const Graph& a, const Graph& b) {
  EXPECT_EQ(print(a), print(b));
  for (const Parameter& parameter : a.parameters()) {
    EXPECT_TRUE(at::equal(parameter.tensor, b.parameter(parameter.name).tensor)) << parameter.name;
  }
}

TEST(Lmb, RoundTripsWithTiesViewsAndStrides) {
  const core::TemporaryDirectory folder;
  const auto path = folder.path() / "model.lmb";
  const Graph graph = graph_with_weights();
  save_lmb(graph, path, {{"note", "kept"}});
  const Graph loaded = load_lmb(path);
  expect_same(graph, loaded);
  EXPECT_EQ(loaded.parameter("w").tensor.unsafeGetTensorImpl(), loaded.parameter("tied").tensor.unsafeGetTensorImpl());
  EXPECT_TRUE(loaded.parameter("a").tensor.is_alias_of(loaded.parameter("b").tensor));
  EXPECT_TRUE(loaded.parameter("last").tensor.is_contiguous(at::MemoryFormat::ChannelsLast));
  EXPECT_TRUE(loaded.parameter("w").tensor.requires_grad());
  EXPECT_EQ(core::SafetensorsFile::open(path).metadata().at("note"), "kept");
}

TEST(Lmb, WritesEqualFilesForEqualGraphs) {
  const core::TemporaryDirectory folder;
  const Graph graph = graph_with_weights();
  save_lmb(graph, folder.path() / "a.lmb");
  save_lmb(load_lmb(folder.path() / "a.lmb"), folder.path() / "b.lmb");
  EXPECT_EQ(core::read_file(folder.path() / "a.lmb"), core::read_file(folder.path() / "b.lmb"));
}

TEST(Lmb, TrainingNeverTouchesTheFile) {
  const core::TemporaryDirectory folder;
  const auto path = folder.path() / "model.lmb";
  save_lmb(graph_with_weights(), path);
  const std::string before = core::read_file(path);
  {
    const Graph graph = load_lmb(path);
    for (const Parameter& parameter : graph.parameters()) parameter.tensor.detach().zero_();
  }
  EXPECT_EQ(core::read_file(path), before);
}

TEST(Lmb, IsAlignedAndReadableAsSafetensors) {
  const core::TemporaryDirectory folder;
  const auto path = folder.path() / "model.lmb";
  save_lmb(graph_with_weights(), path);
  const std::string bytes = core::read_file(path);
  uint64_t header = 0;
  std::memcpy(&header, bytes.data(), sizeof(header));
  EXPECT_EQ((header + 8) % 64, 0U);
  const auto file = core::SafetensorsFile::open(path);
  EXPECT_NE(file.find("w"), nullptr);
  EXPECT_EQ(file.find("tied"), nullptr);
  EXPECT_NE(file.find("limbeck.block.0"), nullptr);
  for (const core::StoredTensor& tensor : file.tensors()) EXPECT_TRUE(tensor.is_aligned()) << tensor.name;
}

/// Rewrites the graph's header of a saved file.
void edit_header(const std::filesystem::path& path, const std::function<void(core::Json&)>& edit) {
  const auto file = core::SafetensorsFile::open(path);
  core::Metadata metadata = file.metadata();
  core::Json header = core::parse_json(metadata.at("limbeck.graph"));
  edit(header);
  metadata["limbeck.graph"] = header.dump();
  std::vector<core::TensorToWrite> tensors;
  for (const core::StoredTensor& tensor : file.tensors()) {
    tensors.push_back({tensor.name, tensor.dtype, tensor.shape, tensor.bytes});
  }
  core::write_safetensors(path, tensors, metadata);
}

template <class E>
void expect_refused(const std::filesystem::path& path, const std::string& expected) {
  try {
    load_lmb(path);
    ADD_FAILURE() << "accepted, expected: " << expected;
  } catch (const E& error) {
    EXPECT_NE(std::string(error.what()).find(expected), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("[lmb]"), std::string::npos) << error.what();
  }
}

class DamagedLmb : public ::testing::Test {
 protected:
  void SetUp() override { save_lmb(graph_with_weights(), path_); }
  void edit_text(const std::string& from, const std::string& to) {
    edit_header(path_, [&](core::Json& header) {
      std::string text = header["text"].as_string();
      const std::size_t at = text.find(from);
      ASSERT_NE(at, std::string::npos) << from;
      header["text"] = text.replace(at, from.size(), to);
    });
  }
  core::TemporaryDirectory folder_;
  std::filesystem::path path_ = folder_.path() / "model.lmb";
};

TEST_F(DamagedLmb, OfANewerVersionNamesBoth) {
  edit_header(path_, [](core::Json& header) { header["format_version"] = kLmbFormatVersion + 1; });
  expect_refused<Unsupported>(path_, "has format version 2; this Limbeck reads up to 1");
}

TEST_F(DamagedLmb, WithoutVersionOrGraph) {
  edit_header(path_, [](core::Json& header) { header["format_version"] = 0; });
  expect_refused<IoError>(path_, "format_version must be at least 1");
  core::write_safetensors(path_, {}, {{"other", "x"}});
  expect_refused<IoError>(path_, "is a safetensors file without a graph");
}

TEST_F(DamagedLmb, WithAnotherSchema) {
  edit_header(path_,
              [](core::Json& header) { header["schemas"]["aten::linear"] = "aten::linear(Tensor x) -> Tensor"; });
  expect_refused<Unsupported>(path_,
                              "was written for aten::linear(Tensor x) -> Tensor, but this libtorch has aten::linear(");
}

TEST_F(DamagedLmb, WithAnUnknownOp) {
  edit_header(path_, [](core::Json& header) { header["schemas"]["aten::gone"] = ""; });
  expect_refused<Unsupported>(path_, "uses the op 'aten::gone'");
}

TEST_F(DamagedLmb, WithAMissingTensor) {
  edit_text("buffer half:", "buffer other:");
  expect_refused<IoError>(path_, "has no tensor 'other'");
}

TEST_F(DamagedLmb, WithATensorOfAnotherShape) {
  edit_text("half: bf16[3]", "half: bf16[4]");
  expect_refused<IoError>(path_, "tensor 'half' is not what the graph says");
}

TEST_F(DamagedLmb, WithAViewOutsideOfItsBlock) {
  edit_text("in block 0 at 48", "in block 0 at 80");
  expect_refused<IoError>(path_, "'b' does not lie in its block of 96 bytes");
}

TEST_F(DamagedLmb, WithABlockOfAnotherSize) {
  edit_text("block 96", "block 9600");
  expect_refused<IoError>(path_, "does not hold 9600 bytes");
}

TEST_F(DamagedLmb, WithAnUnsoundGraph) {
  edit_text("%y: f32[B, 4]", "%y: f32[C, 4]");
  expect_refused<IoError>(path_, "holds an unsound graph: %y (aten::linear in 'fc'): no input binds the size 'C'");
}

TEST_F(DamagedLmb, WithAValueWithoutType) {
  edit_text("%y: f32[B, 4] =", "%y =");
  expect_refused<IoError>(path_, "a value needs a type");
}

TEST(Lmb, RefusesToSaveAnUnsoundGraph) {
  const core::TemporaryDirectory folder;
  Graph graph = graph_with_weights();
  graph.eval_outputs[0].value = ValueId{999, 0};
  EXPECT_THROW(save_lmb(graph, folder.path() / "model.lmb"), InternalError);
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "model.lmb"));
}

TEST(Lmb, ReservesItsOwnNames) {
  const core::TemporaryDirectory folder;
  EXPECT_THROW(save_lmb(graph_with_weights(), folder.path() / "a.lmb", {{"limbeck.graph", "x"}}), InvalidArgument);
  Graph graph = graph_with_weights();
  graph.add_parameter({.name = "limbeck.block.7", .tensor = at::zeros({1})});
  EXPECT_THROW(save_lmb(graph, folder.path() / "a.lmb"), InvalidArgument);
}

/// Written by format version 1 and never again: every later Limbeck must read it.
const char* const kGoldenFile = LIMBECK_SOURCE_DIR "/tests/graph/golden/version_1.lmb";

TEST(Lmb, ReadsTheGoldenFileOfVersion1) {
  if (std::getenv("LIMBECK_WRITE_GOLDEN") != nullptr) save_lmb(graph_with_weights(), kGoldenFile, {{"note", "golden"}});
  const Graph graph = load_lmb(kGoldenFile);
  expect_same(graph, graph_with_weights());
}

TEST(Lmb, SurvivesMutations) {
  const core::TemporaryDirectory folder;
  const auto path = folder.path() / "model.lmb";
  save_lmb(graph_with_weights(), path);
  const testing::FuzzCounts counts = testing::fuzz_reader(core::read_file(path), [&](const std::string& bytes) {
    const auto mutated = folder.path() / "mutated.lmb";
    std::FILE* file = std::fopen(mutated.c_str(), "wb");
    std::fwrite(bytes.data(), 1, bytes.size(), file);
    std::fclose(file);
    print(load_lmb(mutated));
  });
  EXPECT_GT(counts.accepted, 0);
  EXPECT_GT(counts.refused, 0);
}

}  // namespace
}  // namespace limbeck::graph
