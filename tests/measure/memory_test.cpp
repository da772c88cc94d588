#include "limbeck/measure/memory.h"

#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <vector>

namespace limbeck::measure {
namespace {

TEST(ParsePrivateBytes, AddsCleanAndDirty) {
  const char* text =
      "5581c0a4f000-7ffd3b3f4000 ---p 00000000 00:00 0    [rollup]\n"
      "Rss:               10240 kB\n"
      "Shared_Clean:       2048 kB\n"
      "Private_Clean:       100 kB\n"
      "Private_Dirty:       924 kB\n"
      "Private_Hugetlb:       0 kB\n";
  EXPECT_EQ(parse_private_bytes(text), std::uint64_t{1024} * 1024);
}

TEST(ParsePrivateBytes, GivesNothingRatherThanAGuess) {
  EXPECT_FALSE(parse_private_bytes(""));
  EXPECT_FALSE(parse_private_bytes("Private_Clean: 4 kB\n"));
  EXPECT_FALSE(parse_private_bytes("Private_Clean: 4 kB\nPrivate_Dirty: x kB\n"));
  EXPECT_FALSE(parse_private_bytes("Private_Clean: 4 kB\nPrivate_Dirty: 4 MB\n"));
  EXPECT_FALSE(parse_private_bytes("Private_Clean: 4 kB\nPrivate_Dirty:"));
}

TEST(PrivateMemory, GrowsByWhatIsWritten) {
  const auto before = private_memory_bytes();
  ASSERT_TRUE(before);
  constexpr std::size_t kBytes = std::size_t{64} << 20;
  std::vector<char> written(kBytes, 1);
  const auto after = private_memory_bytes();
  ASSERT_TRUE(after);
  EXPECT_EQ(written[kBytes - 1], 1);
  EXPECT_GE(*after, *before + kBytes * 9 / 10);
  EXPECT_LE(*after, *before + kBytes * 11 / 10);
}

TEST(SizeOnDisk, IsOfTheFileOrOfAllFilesBelow) {
  const core::TemporaryDirectory folder;
  core::write_file(folder.path() / "a", "12345");
  core::create_directories(folder.path() / "sub" / "deep");
  core::write_file(folder.path() / "sub" / "deep" / "b", "123");
  std::filesystem::create_symlink(folder.path() / "a", folder.path() / "link");
  EXPECT_EQ(size_on_disk_bytes(folder.path() / "a"), 5U);
  EXPECT_EQ(size_on_disk_bytes(folder.path()), 8U);
  EXPECT_EQ(size_on_disk_bytes(folder.path() / "sub"), 3U);
  EXPECT_THROW(size_on_disk_bytes(folder.path() / "nothing"), IoError);
}

}  // namespace
}  // namespace limbeck::measure
