#include "limbeck/data/one_size.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"
#include "limbeck/data/open_dataset.h"

namespace limbeck::data {
namespace {

namespace fs = std::filesystem;

/// A folder of two classes with copies of the given files of tests/data/images.
std::shared_ptr<const Dataset> folder_of(const fs::path& root, const std::vector<std::string>& files) {
  int number = 0;
  for (const std::string part : {"train", "test"}) {
    for (const std::string label : {"a", "b"}) {
      fs::create_directories(root / part / label);
      for (const std::string& file : files) {
        const std::string extension = fs::path(file).extension().string();
        fs::copy_file(fs::path(LIMBECK_SOURCE_DIR "/tests/data/images") / file,
                      root / part / label / (std::to_string(number++) + extension));
      }
    }
  }
  return open_dataset("folder:" + root.string());
}

TEST(OneSize, IsThatOfImagesThatAllHaveIt) {
  const core::TemporaryDirectory folder;
  const auto open = folder_of(folder.path(), {"colours_420.jpg", "exif_3.jpg"});
  ASSERT_TRUE(open->shape().is_open());
  const OneSize found = find_one_size(open, OnError::raise);
  ASSERT_NE(found.dataset, nullptr);
  EXPECT_EQ(found.dataset->shape(), (ImageShape{3, 37, 50}));
  EXPECT_EQ(found.dataset->identity(), open->identity());
  Loader loader(found.dataset, {.batch_size = 4});
  EXPECT_EQ(loader.next()->x.sizes(), (at::IntArrayRef{4, 3, 37, 50}));
}

TEST(OneSize, NamesTwoImagesOfDifferentSizes) {
  const core::TemporaryDirectory folder;
  const OneSize found = find_one_size(folder_of(folder.path(), {"colours_420.jpg", "exif_6.jpg"}), OnError::raise);
  EXPECT_EQ(found.dataset, nullptr);
  EXPECT_TRUE(found.first.ends_with("a/0.jpg of 50 x 37 pixels")) << found.first;
  EXPECT_TRUE(found.other.ends_with("a/1.jpg of 37 x 50 pixels")) << found.other;
}

TEST(OneSize, PassesOverDamagedFilesWhereAsked) {
  const core::TemporaryDirectory folder;
  const auto open = folder_of(folder.path(), {"colours_420.jpg"});
  core::write_file(folder.path() / "train" / "a" / "0.jpg", "no image");
  EXPECT_THROW(find_one_size(open, OnError::raise), IoError);
  EXPECT_EQ(find_one_size(open, OnError::skip).dataset->shape(), (ImageShape{3, 37, 50}));
}

}  // namespace
}  // namespace limbeck::data
