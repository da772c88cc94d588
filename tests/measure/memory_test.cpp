#include "limbeck/measure/memory.h"

#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"

#include <gtest/gtest.h>

#include <algorithm>
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

constexpr std::size_t kWrittenBytes = std::size_t{64} << 20;  // a mapping of its own, which freeing gives back

/// Private bytes before, while and after kWrittenBytes are in use.
std::vector<std::uint64_t> private_bytes_around_a_write() {
  std::vector<std::uint64_t> seen{private_memory_bytes().value()};
  {
    const std::vector<char> written(kWrittenBytes, 1);
    seen.push_back(private_memory_bytes().value());
    EXPECT_EQ(written[kWrittenBytes - 1], 1);
  }
  seen.push_back(private_memory_bytes().value());
  return seen;
}

// Pages of libraries become private, or shared again, when the only other process that maps them ends or a new one
// begins: a reading counts if what was there before is there afterwards, too.
TEST(PrivateMemory, GrowsByWhatIsWritten) {
  ASSERT_TRUE(private_memory_bytes());
  for (int attempt = 0; attempt < 50; ++attempt) {
    const std::vector<std::uint64_t> seen = private_bytes_around_a_write();
    if (std::max(seen[0], seen[2]) - std::min(seen[0], seen[2]) > kWrittenBytes / 100) continue;
    EXPECT_GE(seen[1], seen[0] + kWrittenBytes * 9 / 10);
    EXPECT_LE(seen[1], seen[0] + kWrittenBytes * 11 / 10);
    return;
  }
  FAIL() << "other processes began and ended in each of 50 readings";
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
