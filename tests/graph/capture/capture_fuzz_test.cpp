// Mutated archives: each is captured or refused with an Error, within a limit on single allocations.
#include <gtest/gtest.h>

#include <cstring>
#include <memory>

#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"
#include "limbeck/graph/capture/decomposed/decomposed.h"
#include "limbeck/graph/capture/decomposed/drop_path.h"
#include "limbeck/graph/capture/functional/functionalize.h"
#include "limbeck/graph/capture/lower.h"
#include "limbeck/graph/capture/pair/merge.h"
#include "limbeck/graph/capture/pair/mode.h"
#include "limbeck/graph/capture/pt2/archive.h"
#include "tests/graph/capture/golden.h"
#include "tests/support/mutation.h"

namespace limbeck::capture {
namespace {

weights::SharedBytes in_memory(const std::string& bytes) {
  struct Aligned {
    explicit Aligned(std::size_t size)
        : data(static_cast<std::byte*>(std::aligned_alloc(64, (size + 63) / 64 * 64 + 64))) {}
    ~Aligned() { std::free(data); }
    std::byte* data;
  };
  auto owner = std::make_shared<Aligned>(bytes.size());
  std::memcpy(owner->data, bytes.data(), bytes.size());
  return {{owner->data, bytes.size()}, owner};
}

Export read_model(const Archive& archive, const std::string& model) {
  Export source = lower(archive.program(model), archive.weights(model), archive.constants(model));
  recognise_drop_paths(source);
  Export result = functionalize(source);
  if (result.is_decomposed) raise_decomposed(result);
  return result;
}

/// All of capture but what runs ops: those see only what the reader let through, and run in their own tests.
void read_archive(const std::string& bytes) {
  const Archive archive = Archive::read(in_memory(bytes), "fuzz");
  std::vector<Export> exports;
  for (const std::string& model : archive.models()) exports.push_back(read_model(archive, model));
  if (exports.size() == 2) {
    merge(exports[1], exports[0]);
  } else {
    make_single(exports.at(0), guess_mode(exports[0].graph).mode);
  }
}

void fuzz_file(const std::string& name, uint64_t seed, int share) {
  const std::string original = core::read_file(testing::golden_file(name));
  read_archive(original);
  const testing::FuzzCounts counts =
      testing::fuzz_reader(original, read_archive, {.seed = seed, .iterations = testing::fuzz_iterations() / share});
  EXPECT_GT(counts.refused, 0);
  EXPECT_GT(counts.accepted, 0);
}

TEST(CaptureFuzz, Eval) { fuzz_file("tiny_eval.pt2", 1, 4); }
TEST(CaptureFuzz, TrainWithViewsAndRegions) { fuzz_file("views_train.pt2", 2, 4); }
TEST(CaptureFuzz, Decomposed) { fuzz_file("tiny_train_decomposed.pt2", 3, 8); }
TEST(CaptureFuzz, Pair) { fuzz_file("named_outputs_pair.pt2", 4, 8); }
TEST(CaptureFuzz, PickledWeightsOfTorch28) { fuzz_file("tied_eval_torch2.8.pt2", 5, 8); }
TEST(CaptureFuzz, Constants) { fuzz_file("keywords_eval.pt2", 6, 8); }

/// Mutations of the JSON alone get deeper than those of the whole archive, most of which break the zip.
void fuzz_program(const std::string& name, uint64_t seed) {
  const std::string bytes = core::read_file(testing::golden_file(name));
  const Archive archive = Archive::read(in_memory(bytes), "fuzz");
  const TensorTable weights = archive.weights("model"), constants = archive.constants("model");
  const std::size_t start = bytes.find("{\"graph_module\"");
  ASSERT_NE(start, std::string::npos);
  const std::string json = bytes.substr(start, bytes.find("\"guards_code\"", start) - start) + "\"guards_code\": []}";
  const auto read = [&](const std::string& text) {
    Export source = lower(parse_program(text, "fuzz"), weights, constants);
    recognise_drop_paths(source);
    Export result = functionalize(source);
    make_single(result, guess_mode(result.graph).mode);
  };
  read(json);
  const auto counts = testing::fuzz_reader(json, read, {.seed = seed, .iterations = testing::fuzz_iterations() / 4});
  EXPECT_GT(counts.refused, 0);
  EXPECT_GT(counts.accepted, 0);
}

TEST(CaptureFuzz, ProgramOfViews) { fuzz_program("views_train.pt2", 7); }
TEST(CaptureFuzz, ProgramOfDropping) { fuzz_program("dropping_train.pt2", 8); }

}  // namespace
}  // namespace limbeck::capture
