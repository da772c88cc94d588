#include <gtest/gtest.h>

#include "limbeck/core/files/file.h"
#include "limbeck/recipe/read.h"
#include "tests/support/mutation.h"

namespace limbeck::recipe {
namespace {

/// Every kind of key, value and stage, in few bytes, so that mutations hit all of them.
constexpr const char* kRecipe = R"(name: a
seed: 1
output: b
data: {dataset: "synthetic:4x1x8x8?n=64", batch_size: 16, mean: [0.5], stddev: [0.25], flip_probability: 0.5}
models:
  t: {zoo: resnet_basic, options: {widths: [8, 16], classes: 4}}
  s: {file: s.pt2, weights: 's.pth'}
stages:
  - train:
      model: t
      optimizer: &o {kind: adamw, lr: 1.0e-3, groups: [{pattern: bias, weight_decay: 0}]}
      schedule: {kind: cosine, warmup_epochs: 0.5}
  - distill: {student: s, teacher: t, name: d, features: [{student: x, teacher: y, weight: 1}], optimizer: *o}
  - evaluate: {models: [t, d], latency_runs: 0}
)";

void read(const std::string& text) {
  const Recipe recipe = parse_recipe(text, "r.yaml");
  ASSERT_FALSE(recipe.stages.empty());
  ASSERT_FALSE(effective_options(recipe).dump().empty());
}

/// The largest text, a copy of it as parsed, and as many nodes as there may be.
constexpr std::size_t kMaxAllocationBytes = std::size_t{16} << 20;

TEST(RecipeFuzz, SurvivesMutationsOfEveryKey) {
  const auto counts = testing::fuzz_reader(kRecipe, read, {.max_allocation_bytes = kMaxAllocationBytes});
  EXPECT_GT(counts.accepted, 0);
  EXPECT_GT(counts.refused, 0);
}

TEST(RecipeFuzz, SurvivesMutationsOfTheMainRecipe) {
  const std::string text = core::read_file(LIMBECK_SOURCE_DIR "/recipes/fashion-mnist.yaml");
  const auto counts = testing::fuzz_reader(text, read, {.seed = 2, .max_allocation_bytes = kMaxAllocationBytes});
  EXPECT_GT(counts.accepted, 0);
  EXPECT_GT(counts.refused, 0);
}

TEST(RecipeFuzz, SurvivesMutationsOfOverrides) {
  const auto override_by = [](const std::string& text) {
    const std::size_t equals = text.find('=');
    const std::string path = text.substr(0, equals), value = equals == text.npos ? "1" : text.substr(equals + 1);
    parse_recipe(kRecipe, "r.yaml", {{path, value}});
  };
  const auto counts = testing::fuzz_reader("stages.d.optimizer.groups.0.lr=[1, {a: 2}]", override_by,
                                           {.seed = 3, .max_allocation_bytes = kMaxAllocationBytes});
  EXPECT_GT(counts.refused, 0);
}

}  // namespace
}  // namespace limbeck::recipe
