#include "limbeck/core/files/file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <functional>
#include <set>

#include "limbeck/core/error.h"

namespace limbeck::core {
namespace {

namespace fs = std::filesystem;

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const IoError& error) {
    return error.what();
  }
  return "no IoError";
}

std::set<std::string> names_in(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.insert(entry.path().filename().string());
  return names;
}

class FileTest : public ::testing::Test {
 protected:
  TemporaryDirectory directory_;
  fs::path folder_ = directory_.path();
};

TEST_F(FileTest, WritesAndReads) {
  const std::string content("a\0b\xff\n", 5);
  write_file(folder_ / "f", content);
  EXPECT_EQ(read_file(folder_ / "f"), content);
  EXPECT_EQ(core::file_size(folder_ / "f"), 5u);
  write_file(folder_ / "f", "");
  EXPECT_EQ(read_file(folder_ / "f"), "");
  EXPECT_EQ(names_in(folder_), (std::set<std::string>{"f"}));
}

TEST_F(FileTest, ReadsFilesOfTheKernelThatClaimToBeEmpty) {
  EXPECT_FALSE(read_file("/proc/self/status").empty());
  EXPECT_THROW(read_file("/proc/self/status", 10), IoError);
}

TEST_F(FileTest, RefusesToReadWhatItShouldNot) {
  const std::string path = (folder_ / "f").string();
  EXPECT_EQ(message_of([&] { read_file(path); }), "can't open " + path + ": No such file or directory");
  write_file(path, "12345");
  EXPECT_EQ(read_file(path, 5), "12345");
  EXPECT_EQ(message_of([&] { read_file(path, 4); }),
            path + " is too large: it has more than 4 bytes, the limit for such a file");
  EXPECT_EQ(message_of([&] { read_file(folder_); }), "can't read " + folder_.string() + ": it is a folder");
  EXPECT_EQ(message_of([&] { MappedFile::open(folder_); }), "can't read " + folder_.string() + ": it is a folder");
  ASSERT_EQ(mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  EXPECT_EQ(message_of([&] { read_file(folder_ / "pipe"); }),
            "can't read " + (folder_ / "pipe").string() + ": it is no regular file");
}

TEST_F(FileTest, ShowsNothingBeforeTheCommit) {
  write_file(folder_ / "f", "old");
  {
    AtomicFile file(folder_ / "f");
    file.write("new ");
    file.write("content");
    EXPECT_EQ(read_file(folder_ / "f"), "old");
    EXPECT_EQ(file.bytes_written(), 11u);
    file.commit();
    EXPECT_EQ(read_file(folder_ / "f"), "new content");
    EXPECT_THROW(file.write("more"), InvalidArgument);
    EXPECT_THROW(file.commit(), InvalidArgument);
  }
  { AtomicFile(folder_ / "f").write("never committed"); }
  EXPECT_EQ(read_file(folder_ / "f"), "new content");
  EXPECT_EQ(names_in(folder_), (std::set<std::string>{"f"}));
}

TEST_F(FileTest, GivesBackWhatItReservedTooMuch) {
  AtomicFile file(folder_ / "f", 1 << 20);
  file.write("short");
  file.commit();
  EXPECT_EQ(read_file(folder_ / "f"), "short");
}

TEST_F(FileTest, KeepsPermissionsAndLinks) {
  write_file(folder_ / "real", "1");
  ASSERT_EQ(chmod((folder_ / "real").c_str(), 0640), 0);
  fs::create_symlink("real", folder_ / "link");
  write_file(folder_ / "link", "2");
  EXPECT_TRUE(fs::is_symlink(folder_ / "link"));
  EXPECT_EQ(read_file(folder_ / "real"), "2");
  EXPECT_EQ(fs::status(folder_ / "real").permissions(), fs::perms(0640));
  fs::create_symlink("not_yet", folder_ / "dangling");
  write_file(folder_ / "dangling", "3");
  EXPECT_EQ(read_file(folder_ / "not_yet"), "3");
}

TEST_F(FileTest, GivesNewFilesTheUsualPermissions) {
  const mode_t before = umask(027);
  write_file(folder_ / "f", "1");
  umask(before);
  EXPECT_EQ(fs::status(folder_ / "f").permissions(), fs::perms(0640));
}

TEST_F(FileTest, RemovesWhatAKilledWriterLeft) {
  AtomicFile alive(folder_ / "f");
  const pid_t child = fork();
  if (child == 0) {
    AtomicFile file(folder_ / "f");
    file.write("half");
    raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(names_in(folder_).size(), 2u) << "the living writer's file and the dead one's";
  write_file(folder_ / "f", "whole");
  EXPECT_EQ(names_in(folder_).size(), 2u) << "the living writer's file and the result";
  alive.write("last");
  alive.commit();
  EXPECT_EQ(read_file(folder_ / "f"), "last");
  EXPECT_EQ(names_in(folder_), (std::set<std::string>{"f"}));
}

TEST_F(FileTest, SaysThatTheDiskIsFull) {
  struct statvfs status {};
  ASSERT_EQ(statvfs(folder_.c_str(), &status), 0);
  const std::uint64_t needed = std::uint64_t{status.f_blocks} * status.f_frsize + (std::uint64_t{1} << 30);
  const std::string path = (folder_ / "f").string();
  write_file(path, "old");
  EXPECT_EQ(message_of([&] { AtomicFile(path, needed); }),
            "no space left on device while writing " + path + " (needs " + std::to_string(needed) + " bytes)");
  EXPECT_EQ(names_in(folder_), (std::set<std::string>{"f"}));
  EXPECT_EQ(read_file(path), "old");
}

// A limit on the size of files makes a write fail in the middle.
TEST_F(FileTest, LeavesNothingWhereAWriteFails) {
  const std::string path = (folder_ / "f").string();
  write_file(path, "old");
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{100, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string message = message_of([&] {
    AtomicFile file(path);
    file.write(std::string(60, 'x'));
    file.write(std::string(60, 'x'));
  });
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(message, "error while writing " + path + ": File too large");
  EXPECT_EQ(names_in(folder_), (std::set<std::string>{"f"}));
  EXPECT_EQ(read_file(path), "old");
}

TEST_F(FileTest, RefusesToWriteWhereItCannot) {
  const std::string missing = (folder_ / "no" / "f").string();
  EXPECT_EQ(message_of([&] { write_file(missing, "x"); }),
            "error while creating " + missing + ": No such file or directory");
  EXPECT_EQ(message_of([&] { write_file(folder_, "x"); }), "can't write " + folder_.string() + ": it is a folder");
}

TEST_F(FileTest, CreatesFolders) {
  core::create_directories(folder_ / "a" / "b");
  core::create_directories(folder_ / "a" / "b");
  EXPECT_TRUE(fs::is_directory(folder_ / "a" / "b"));
  write_file(folder_ / "file", "");
  EXPECT_THROW(core::create_directories(folder_ / "file"), IoError);
  EXPECT_THROW(core::create_directories(folder_ / "file" / "below"), IoError);
}

TEST_F(FileTest, LongNamesAreWritten) {
  const std::string name(250, 'n');
  write_file(folder_ / name, "x");
  EXPECT_EQ(read_file(folder_ / name), "x");
}

TEST_F(FileTest, ReaderFillsPieces) {
  write_file(folder_ / "f", "1234567");
  FileReader reader(folder_ / "f");
  EXPECT_EQ(reader.size(), 7u);
  std::array<std::byte, 4> piece;
  EXPECT_EQ(reader.read(piece), 4u);
  EXPECT_EQ(reader.read(piece), 3u);
  EXPECT_EQ(piece[0], std::byte{'5'});
  EXPECT_EQ(reader.read(piece), 0u);
}

TEST_F(FileTest, MappingIsPrivateAndWritable) {
  write_file(folder_ / "f", "hello");
  const auto mapping = MappedFile::open(folder_ / "f", MappedFile::Access::private_writable);
  mapping->writable_bytes()[0] = std::byte{'J'};
  EXPECT_EQ(mapping->bytes()[0], std::byte{'J'});
  EXPECT_EQ(read_file(folder_ / "f"), "hello");
  write_file(folder_ / "f", "new");
  EXPECT_EQ(mapping->bytes().size(), 5u) << "a replaced file stays mapped as it was";
  EXPECT_EQ(mapping->bytes()[4], std::byte{'o'});
}

TEST_F(FileTest, MappingOfReadOnlyAndEmptyFiles) {
  write_file(folder_ / "f", "x");
  const auto mapping = MappedFile::open(folder_ / "f");
  EXPECT_EQ(mapping->bytes()[0], std::byte{'x'});
  EXPECT_THROW(mapping->writable_bytes(), InternalError);
  write_file(folder_ / "empty", "");
  EXPECT_TRUE(MappedFile::open(folder_ / "empty")->bytes().empty());
  EXPECT_THROW(MappedFile::open(folder_ / "missing"), IoError);
}

TEST_F(FileTest, TemporaryDirectoryGoesWithItsContent) {
  fs::path path;
  {
    const TemporaryDirectory inner(folder_);
    path = inner.path();
    core::create_directories(path / "a");
    write_file(path / "a" / "f", "x");
  }
  EXPECT_FALSE(fs::exists(path));
  EXPECT_TRUE(fs::exists(folder_));
}

}  // namespace
}  // namespace limbeck::core
