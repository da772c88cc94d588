#include "limbeck/graph/weights/tensors.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "limbeck/core/error.h"
#include "limbeck/graph/weights/state_dict.h"
#include "tests/graph/weights/golden.h"
#include "tests/support/mutation.h"

namespace limbeck::weights {
namespace {

class TensorsTest : public ::testing::Test {
 protected:
  std::string path() const { return (folder_.path() / "weights.safetensors").string(); }
  StateDict written(const std::vector<NamedTensor>& tensors, core::Metadata metadata = {}) const {
    write_tensors(path(), tensors, std::move(metadata));
    return load_state_dict(path());
  }
  core::TemporaryDirectory folder_;
};

TEST_F(TensorsTest, KeepsEveryDtype) {
  const at::ScalarType types[] = {at::kDouble,
                                  at::kFloat,
                                  at::kHalf,
                                  at::kBFloat16,
                                  at::kLong,
                                  at::kInt,
                                  at::kShort,
                                  at::kChar,
                                  at::kByte,
                                  at::kBool,
                                  at::ScalarType::UInt16,
                                  at::ScalarType::UInt32,
                                  at::ScalarType::UInt64,
                                  at::ScalarType::Float8_e4m3fn,
                                  at::ScalarType::Float8_e5m2,
                                  at::kComplexFloat};
  std::vector<NamedTensor> tensors;
  for (const at::ScalarType type : types) tensors.push_back({c10::toString(type), (pattern({5}) + 2).to(type)});
  const StateDict read = written(tensors);
  ASSERT_EQ(read.tensors.size(), tensors.size());
  for (const NamedTensor& tensor : tensors) {
    const at::Tensor* found = read.find(tensor.name);
    ASSERT_NE(found, nullptr) << tensor.name;
    EXPECT_EQ(found->scalar_type(), tensor.tensor.scalar_type());
    EXPECT_TRUE(at::equal(found->view(at::kByte), tensor.tensor.view(at::kByte))) << tensor.name;
  }
}

TEST_F(TensorsTest, KeepsShapes) {
  const std::vector<NamedTensor> tensors = {{"scalar", at::scalar_tensor(2.5)},
                                            {"empty", at::empty({0, 3})},
                                            {"strided", pattern({3, 4}).t()},
                                            {"slice", pattern({6, 2}).slice(0, 1, 6, 2)}};
  const StateDict read = written(tensors);
  for (const NamedTensor& tensor : tensors) {
    EXPECT_TRUE(at::equal(*read.find(tensor.name), tensor.tensor)) << tensor.name;
    EXPECT_TRUE(read.find(tensor.name)->is_contiguous());
  }
}

TEST_F(TensorsTest, TiedNamesStayTied) {
  const at::Tensor shared = pattern({4, 3});
  const StateDict read =
      written({{"embed", shared}, {"other", pattern({2})}, {"head", shared}, {"view", shared.view({4, 3})}});
  ASSERT_EQ(read.tensors.size(), 4u);
  EXPECT_TRUE(read.find("head")->is_alias_of(*read.find("embed")));
  EXPECT_TRUE(read.find("view")->is_alias_of(*read.find("embed")));
  EXPECT_FALSE(read.find("other")->is_alias_of(*read.find("embed")));
  const core::SafetensorsFile file = core::SafetensorsFile::open(path());
  EXPECT_EQ(file.tensors().size(), 2u);
  EXPECT_EQ(file.metadata().at("aliases"), R"({"head": "embed", "view": "embed"})");
}

TEST_F(TensorsTest, SlicesOfOneStorageAreNotTied) {
  const at::Tensor flat = pattern({6});
  const StateDict read =
      written({{"a", flat.slice(0, 0, 3)}, {"b", flat.slice(0, 3, 6)}, {"none", flat.slice(0, 3, 3)}});
  EXPECT_TRUE(at::equal(*read.find("b"), flat.slice(0, 3, 6)));
  EXPECT_FALSE(read.find("a")->is_alias_of(*read.find("b")));
}

TEST_F(TensorsTest, RefusesOverlaps) {
  const at::Tensor flat = pattern({6});
  EXPECT_THROW(written({{"all", flat}, {"part", flat.slice(0, 1, 3)}}), InvalidArgument);
  EXPECT_THROW(written({{"wide", flat}, {"inner", flat.slice(0, 0, 1)}, {"late", flat.slice(0, 4, 6)}}),
               InvalidArgument);
  EXPECT_THROW(written({{"matrix", flat.view({2, 3})}, {"transposed", flat.view({3, 2})}}), InvalidArgument);
  EXPECT_FALSE(std::filesystem::exists(path()));
}

TEST_F(TensorsTest, RefusesTypesOfNoName) {
  EXPECT_THROW(written({{"z", at::zeros({2}, at::kComplexDouble)}}), Unsupported);
  EXPECT_THROW(written({{"a", pattern({1})}}, {{"aliases", "{}"}}), InvalidArgument);
}

TEST_F(TensorsTest, ReadsAliasesOfPython) {
  const at::Tensor weight = pattern({2, 2});
  const std::vector<core::TensorToWrite> tensors = {
      {"wte.weight", core::DType::f32, {2, 2}, {static_cast<const std::byte*>(weight.const_data_ptr()), 16}}};
  core::write_safetensors(path(), tensors, {{"format", "pt"}, {"lm_head.weight", "wte.weight"}});
  const StateDict read = load_state_dict(path());
  ASSERT_EQ(read.tensors.size(), 2u);
  EXPECT_TRUE(read.find("lm_head.weight")->is_alias_of(*read.find("wte.weight")));
}

TEST_F(TensorsTest, RefusesWrongAliases) {
  const at::Tensor weight = pattern({2, 2});
  const std::vector<core::TensorToWrite> tensors = {
      {"a", core::DType::f32, {2, 2}, {static_cast<const std::byte*>(weight.const_data_ptr()), 16}}};
  for (const char* aliases : {"", "[]", "{\"b\": 1}", "{\"b\": \"c\"}", "{\"a\": \"a\"}"}) {
    core::write_safetensors(path(), tensors, {{"aliases", aliases}});
    EXPECT_THROW(load_state_dict(path()), IoError) << aliases;
  }
}

TEST_F(TensorsTest, WritesToLoadedTensorsStayInMemory) {
  written({{"a", pattern({8})}});
  const std::string before = core::read_file(path());
  at::Tensor tensor = *load_state_dict(path()).find("a");
  tensor.fill_(7);
  EXPECT_EQ(core::read_file(path()), before);
  EXPECT_TRUE(at::equal(tensor, at::full({8}, 7.F)));
}

TEST_F(TensorsTest, FuzzSurvivesMutation) {
  const at::Tensor shared = pattern({4, 3});
  write_tensors(path(), std::vector<NamedTensor>{{"embed", shared}, {"b", pattern({2}, at::kHalf)}, {"head", shared}});
  const std::string file = core::read_file(path());
  const std::string mutated = (folder_.path() / "mutated.safetensors").string();
  const auto counts = testing::fuzz_reader(file, [&](const std::string& text) {
    std::filesystem::remove(mutated);  // truncating instead would make the file system flush
    std::ofstream(mutated, std::ios::binary) << text;
    for (const NamedTensor& tensor : read_tensors(core::SafetensorsFile::open(mutated))) tensor.tensor.contiguous();
  });
  EXPECT_GT(counts.accepted, 0);
  EXPECT_GT(counts.refused, 0);
}

}  // namespace
}  // namespace limbeck::weights
