// Preprocessing and transforms in models' files are hostile text.
#include <gtest/gtest.h>

#include "limbeck/core/json/json.h"
#include "limbeck/data/preprocessing.h"
#include "limbeck/data/transforms/options.h"
#include "tests/support/mutation.h"

namespace limbeck::data {
namespace {

/// No image is read and no tensor made: texts and short lists are all that there is.
constexpr std::size_t kMaxAllocationBytes = std::size_t{1} << 20;

TEST(PreprocessingFuzz, SurvivesMutationsOfEveryKey) {
  const Normalize normalize{.mean = {0.485F, 0.456F, 0.406F}, .stddev = {0.229F, 0.224F, 0.225F}};
  const std::string text = to_json(make_preprocessing(
      {Pad{.padding = {1, 2}}, Resize{.size = {256}}, Grayscale{.channels = 3}, CenterCrop{.size = {224}}, normalize},
      {3, ImageShape::kVaries, ImageShape::kVaries}));
  const auto read = [](const std::string& mutated) {
    const Preprocessing preprocessing = parse_preprocessing(mutated);
    // What was accepted can be written, read back and told, and makes images of the shape that it names.
    ASSERT_EQ(to_json(parse_preprocessing(to_json(preprocessing))), to_json(preprocessing));
    ASSERT_FALSE(to_text(preprocessing).empty());
    ASSERT_EQ(output_shape(preprocessing.steps(), {preprocessing.shape.channels, 300, 400}), preprocessing.shape);
  };
  const auto counts = testing::fuzz_reader(text, read, {.max_allocation_bytes = kMaxAllocationBytes});
  EXPECT_GT(counts.accepted, 0);
  EXPECT_GT(counts.refused, 0);
}

TEST(TransformFuzz, SurvivesMutationsOfEveryTransform) {
  testing::FuzzCounts counts;
  uint64_t seed = 2;
  for (const std::string& name : transform_names()) {
    const auto read = [](const std::string& mutated) {
      const core::Json json = core::parse_json(mutated, "transform");
      const Transform transform = parse_transform(core::JsonView(json, "transform"));
      ASSERT_FALSE(to_json(transform).dump().empty());
      // Ranges are the shape rule's: it refuses, or names a shape.
      ASSERT_GT(output_shape(transform, {3, 40, 50}).channels, 0);
    };
    const auto found = testing::fuzz_reader(to_json(make_transform(name)).dump(), read,
                                            {.seed = seed++, .max_allocation_bytes = kMaxAllocationBytes});
    counts.accepted += found.accepted;
    EXPECT_GT(found.refused, 0) << name;
  }
  EXPECT_GT(counts.accepted, 0);
}

}  // namespace
}  // namespace limbeck::data
