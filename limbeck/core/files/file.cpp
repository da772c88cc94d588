#include "limbeck/core/files/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <system_error>
#include <utility>
#include <vector>

#include "limbeck/core/error.h"

namespace limbeck::core {
namespace {

namespace fs = std::filesystem;

std::string describe(int error_number) { return std::generic_category().message(error_number); }

// Repeats a call that a signal interrupted.
template <class Call>
auto retry(Call call) {
  auto result = call();
  while (result == -1 && errno == EINTR) result = call();
  return result;
}

int open_for_reading(const fs::path& path, std::uint64_t& size) {
  // O_NONBLOCK: opening a pipe would wait for its writer.
  const int descriptor = retry([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); });
  if (descriptor < 0) fail<IoError>("can't open {}: {}", path.string(), describe(errno));
  struct stat status {};
  if (::fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(descriptor);
    fail<IoError>("can't read {}: it is {}", path.string(), S_ISDIR(status.st_mode) ? "a folder" : "no regular file");
  }
  size = static_cast<std::uint64_t>(status.st_size);
  return descriptor;
}

fs::path folder_of(const fs::path& path) { return path.has_parent_path() ? path.parent_path() : fs::path("."); }

// The file that a chain of symbolic links ends at, which need not exist.
fs::path follow_links(const fs::path& path) {
  fs::path result = path;
  std::error_code error;
  for (int depth = 0; depth < 40 && fs::is_symlink(result, error); ++depth) {
    const fs::path target = fs::read_symlink(result, error);
    if (error) break;
    result = target.is_absolute() ? target : folder_of(result) / target;
  }
  return result;
}

// Temporary files are ".NAME.PID-COUNT.tmp" and locked while their writer lives: one that can be locked was left behind
// by a process that was killed.
std::string temporary_prefix(const fs::path& path) { return "." + path.filename().string().substr(0, 200) + "."; }

void remove_abandoned(const fs::path& path) {
  const std::string prefix = temporary_prefix(path);
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder_of(path), error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(prefix) || !name.ends_with(".tmp") || !entry.is_regular_file(error)) continue;
    const int descriptor = ::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (descriptor < 0) continue;
    if (::flock(descriptor, LOCK_EX | LOCK_NB) == 0) ::unlink(entry.path().c_str());
    ::close(descriptor);
  }
}

// Makes a rename in the folder durable. File systems that can't synchronise folders say EINVAL.
void synchronize_folder(const fs::path& folder) {
  const int descriptor = retry([&] { return ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
  if (descriptor < 0) fail<IoError>("can't open folder {}: {}", folder.string(), describe(errno));
  const int error_number = ::fsync(descriptor) == 0 ? 0 : errno;
  ::close(descriptor);
  if (error_number != 0 && error_number != EINVAL)
    fail<IoError>("can't synchronise folder {}: {}", folder.string(), describe(error_number));
}

}  // namespace

FileReader::FileReader(fs::path path) : path_(std::move(path)) { descriptor_ = open_for_reading(path_, size_); }

FileReader::~FileReader() { ::close(descriptor_); }

std::size_t FileReader::read(std::span<std::byte> piece) {
  std::size_t filled = 0;
  while (filled < piece.size()) {
    const ssize_t count = retry([&] { return ::read(descriptor_, piece.data() + filled, piece.size() - filled); });
    if (count < 0) fail<IoError>("can't read {}: {}", path_.string(), describe(errno));
    if (count == 0) break;
    filled += static_cast<std::size_t>(count);
  }
  return filled;
}

std::string read_file(const fs::path& path, std::uint64_t max_bytes) {
  constexpr std::size_t kPieceBytes = 4096;
  FileReader reader(path);
  const auto refuse = [&] {
    fail<IoError>("{} is too large: it has more than {} bytes, the limit for such a file", path.string(), max_bytes);
  };
  if (reader.size() > max_bytes) refuse();
  std::string content(static_cast<std::size_t>(reader.size()), '\0');
  content.resize(reader.read(std::as_writable_bytes(std::span(content))));
  std::byte piece[kPieceBytes];  // what grew meanwhile, or all of a file in /proc
  while (const std::size_t count = reader.read(piece)) {
    if (content.size() + count > max_bytes) refuse();
    content.append(reinterpret_cast<const char*>(piece), count);
  }
  return content;
}

std::uint64_t file_size(const fs::path& path) { return FileReader(path).size(); }

void create_directories(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) fail<IoError>("can't create folder {}: {}", path.string(), error.message());
  if (!fs::is_directory(path, error)) fail<IoError>("can't create folder {}: it is a file", path.string());
}

void write_file(const fs::path& path, std::span<const std::byte> content) {
  AtomicFile file(path, content.size());
  file.write(content);
  file.commit();
}

void write_file(const fs::path& path, std::string_view content) { write_file(path, as_bytes(content)); }

AtomicFile::AtomicFile(fs::path path, std::uint64_t expected_bytes)
    : path_(std::move(path)), expected_bytes_(expected_bytes) {
  std::error_code ignored;
  if (fs::is_directory(path_, ignored)) fail<IoError>("can't write {}: it is a folder", path_.string());
  remove_abandoned(follow_links(path_));
  open_temporary();
  struct stat replaced {};
  if (::stat(path_.c_str(), &replaced) == 0) ::fchmod(descriptor_, replaced.st_mode & 07777);
  if (expected_bytes > 0) reserve();
}

// Asks before it reserves: a reservation beyond the end would fill the disk for everybody until it fails.
void AtomicFile::reserve() {
  struct statvfs disk {};
  const bool known = ::fstatvfs(descriptor_, &disk) == 0 && disk.f_blocks > 0;
  if (known && expected_bytes_ / disk.f_frsize > disk.f_bavail) fail_write(ENOSPC, "writing");
  const auto size = static_cast<off_t>(expected_bytes_);
  const int status = retry([&] { return ::fallocate(descriptor_, FALLOC_FL_KEEP_SIZE, 0, size); });
  const bool full = status != 0 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG);
  if (full) fail_write(errno, "writing");  // other errors: the file system can't reserve, writing will tell
}

// A new locked file beside the target. Between its creation and its lock another process may take it for abandoned and
// remove it: then it has no link left and the next name is tried.
void AtomicFile::open_temporary() {
  static std::atomic<unsigned> counter{0};
  const fs::path target = follow_links(path_);
  while (true) {
    const unsigned count = counter.fetch_add(1);
    temporary_ = folder_of(target) / fmt::format("{}{}-{}.tmp", temporary_prefix(target), ::getpid(), count);
    descriptor_ = retry([&] { return ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666); });
    if (descriptor_ < 0 && errno == EEXIST) continue;
    if (descriptor_ < 0) fail_write(errno, "creating");
    struct stat status {};
    const bool locked = ::flock(descriptor_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
    if (locked && ::fstat(descriptor_, &status) == 0 && status.st_nlink > 0) return;
    ::close(std::exchange(descriptor_, -1));
  }
}

void AtomicFile::remove_temporary() noexcept {
  if (descriptor_ < 0) return;
  ::unlink(temporary_.c_str());
  ::close(std::exchange(descriptor_, -1));
}

AtomicFile::~AtomicFile() { remove_temporary(); }

void AtomicFile::fail_write(int error_number, std::string_view action) {
  remove_temporary();
  const std::uint64_t needed = std::max(expected_bytes_, bytes_written_);
  if (error_number == ENOSPC || error_number == EDQUOT)
    fail<IoError>("no space left on device while writing {} (needs {} bytes)", path_.string(), needed);
  fail<IoError>("error while {} {}: {}", action, path_.string(), describe(error_number));
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  LIMBECK_CHECK(descriptor_ >= 0, "[file] {} is closed: it was committed or a write failed", path_.string());
  bytes_written_ += bytes.size();
  while (!bytes.empty()) {
    const ssize_t count = retry([&] { return ::write(descriptor_, bytes.data(), bytes.size()); });
    if (count < 0) fail_write(errno, "writing");
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
}

void AtomicFile::commit() {
  LIMBECK_CHECK(descriptor_ >= 0, "[file] {} is closed: it was committed or a write failed", path_.string());
  // Gives back what was reserved and not used.
  if (bytes_written_ < expected_bytes_ && ::ftruncate(descriptor_, static_cast<off_t>(bytes_written_)) != 0)
    fail_write(errno, "writing");
  if (::fsync(descriptor_) != 0) fail_write(errno, "writing");
  const fs::path target = follow_links(path_);
  if (::rename(temporary_.c_str(), target.c_str()) != 0) fail_write(errno, "replacing");
  ::close(std::exchange(descriptor_, -1));
  synchronize_folder(folder_of(target));
}

MappedFile::MappedFile(fs::path path, std::byte* data, std::size_t size, Access access)
    : path_(std::move(path)), data_(data), size_(size), access_(access) {}

std::shared_ptr<MappedFile> MappedFile::open(const fs::path& path, Access access) {
  const FileReader file(path);
  const std::size_t size = file.size();
  if (size == 0) return std::shared_ptr<MappedFile>(new MappedFile(path, nullptr, 0, access));
  const int protection = access == Access::read_only ? PROT_READ : PROT_READ | PROT_WRITE;
  void* data = ::mmap(nullptr, size, protection, MAP_PRIVATE | MAP_NORESERVE, file.descriptor(), 0);
  if (data == MAP_FAILED) fail<IoError>("can't map {} ({} bytes): {}", path.string(), size, describe(errno));
  return std::shared_ptr<MappedFile>(new MappedFile(path, static_cast<std::byte*>(data), size, access));
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

std::span<std::byte> MappedFile::writable_bytes() {
  LIMBECK_ASSERT(access_ == Access::private_writable, "[file] {} is mapped read-only", path_.string());
  return {data_, size_};
}

TemporaryDirectory::TemporaryDirectory(const fs::path& parent) {
  std::string pattern = ((parent.empty() ? fs::temp_directory_path() : parent) / "limbeck-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr)
    fail<IoError>("can't create a temporary folder {}: {}", pattern, describe(errno));
  path_ = pattern;
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

}  // namespace limbeck::core
