// Files. Reads are bounded; writes are atomic and durable: a temporary file in the same folder, fsync, rename, fsync of
// the folder, so that a kill at any moment leaves either the old file or the new one. Every failure is an IoError that
// names the path and the reason. Mappings are shared by shared_ptr with whatever points into them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace limbeck::core {

/// What read_file takes at most unless told otherwise: 1 GiB.
inline constexpr std::uint64_t kMaxReadBytes = std::uint64_t{1} << 30;

/// The whole content. Throws IoError if the file is missing, no regular file, unreadable or larger than `max_bytes`.
std::string read_file(const std::filesystem::path& path, std::uint64_t max_bytes = kMaxReadBytes);

/// Reads a regular file from its beginning, piece by piece.
class FileReader {
 public:
  /// Throws IoError if the file is missing, no regular file or unreadable.
  explicit FileReader(std::filesystem::path path);
  ~FileReader();
  FileReader(const FileReader&) = delete;
  FileReader& operator=(const FileReader&) = delete;

  /// Fills `piece` as far as the file goes; returns the number of bytes, 0 at the end. Throws IoError.
  std::size_t read(std::span<std::byte> piece);

  /// The size when it was opened (0 for what /proc and /sys make up while it is read).
  std::uint64_t size() const { return size_; }
  int descriptor() const { return descriptor_; }

 private:
  std::filesystem::path path_;
  std::uint64_t size_ = 0;
  int descriptor_ = -1;
};

/// Size of a regular file in bytes. Throws IoError.
std::uint64_t file_size(const std::filesystem::path& path);

/// Creates the folder and its parents. Throws IoError.
void create_directories(const std::filesystem::path& path);

/// Replaces the file's content atomically. On a full disk the message is
/// "no space left on device while writing PATH (needs N bytes)" and nothing is left behind.
void write_file(const std::filesystem::path& path, std::span<const std::byte> content);
void write_file(const std::filesystem::path& path, std::string_view content);

/// Views `text` as bytes.
inline std::span<const std::byte> as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

/// A file written piece by piece that appears under its name at commit(); without a commit it leaves nothing. The
/// folder must exist. What a killed process left of an earlier attempt is removed. A symbolic link at `path` is
/// followed; permissions of a replaced file are kept, else 0666 & ~umask.
class AtomicFile {
 public:
  /// `expected_bytes`, where known, is reserved on the disk at once, so that a full disk fails before the work is done.
  explicit AtomicFile(std::filesystem::path path, std::uint64_t expected_bytes = 0);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(as_bytes(text)); }

  /// Makes the content durable and visible. No write may follow.
  void commit();

  std::uint64_t bytes_written() const { return bytes_written_; }
  const std::filesystem::path& path() const { return path_; }

 private:
  void open_temporary();
  void reserve();
  void remove_temporary() noexcept;
  [[noreturn]] void fail_write(int error_number, std::string_view action);

  std::filesystem::path path_;
  std::filesystem::path temporary_;
  std::uint64_t expected_bytes_ = 0;
  std::uint64_t bytes_written_ = 0;
  int descriptor_ = -1;
};

/// A file mapped into memory. `private_writable` gives writable pages whose changes never reach the file (training on
/// loaded weights). A file must not be truncated while it is mapped: replace it by rename, as AtomicFile does.
class MappedFile {
 public:
  enum class Access { read_only, private_writable };

  /// Throws IoError if the file is missing, no regular file or can't be mapped. An empty file gives an empty span.
  static std::shared_ptr<MappedFile> open(const std::filesystem::path& path, Access access = Access::read_only);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }

  /// Throws InternalError if the mapping is read-only.
  std::span<std::byte> writable_bytes();

  const std::filesystem::path& path() const { return path_; }

 private:
  MappedFile(std::filesystem::path path, std::byte* data, std::size_t size, Access access);

  std::filesystem::path path_;
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  Access access_;
};

/// A fresh folder that goes, with its content, when the object does. Stands in `parent`, or where the system keeps
/// temporary files.
class TemporaryDirectory {
 public:
  explicit TemporaryDirectory(const std::filesystem::path& parent = {});
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace limbeck::core
