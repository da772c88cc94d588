#include "limbeck/recipe/workspace.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <iterator>
#include <system_error>

#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"
#include "limbeck/core/log.h"

namespace limbeck::recipe {

namespace fs = std::filesystem;

namespace {

constexpr const char* kResultFile = "result.json";
constexpr const char* kKeyFile = "key";
constexpr const char* kLockFile = ".lock";

/// Name for what stands in `folder` that nothing has yet.
fs::path previous_folder(const fs::path& folder) {
  const std::string base = folder.string() + ".previous";
  fs::path free = base;
  for (int i = 2; fs::exists(free); ++i) free = fmt::format("{}-{}", base, i);
  return free;
}

/// Whether `lock` is the file that the path leads to, and not one that another process has removed since.
bool is_at(int lock, const fs::path& path) {
  struct stat opened {};
  struct stat there {};
  return ::fstat(lock, &opened) == 0 && ::stat(path.c_str(), &there) == 0 && opened.st_dev == there.st_dev &&
         opened.st_ino == there.st_ino;
}

}  // namespace

Workspace::Workspace(fs::path root, WorkspaceUse use) : root_(std::move(root)) {
  if (use == WorkspaceUse::read) return;
  make_root();
  lock();
}

Workspace::~Workspace() {
  if (lock_descriptor_ < 0) return;
  remove_empty_folders();  // while they are locked: nobody else puts anything there
  ::close(lock_descriptor_);
}

void Workspace::make_root() {
  for (fs::path folder = fs::absolute(root_).lexically_normal(); !fs::exists(folder); folder = folder.parent_path()) {
    if (folder.has_filename()) made_.push_back(folder);
  }
  core::create_directories(root_);
}

void Workspace::lock() {
  const fs::path file = root_ / kLockFile;
  for (;;) {
    lock_descriptor_ = ::open(file.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0666);
    if (lock_descriptor_ < 0) fail<IoError>("[run] cannot open {}: {}", file.string(), std::strerror(errno));
    if (::flock(lock_descriptor_, LOCK_EX | LOCK_NB) != 0) break;
    if (is_at(lock_descriptor_, file)) return;
    ::close(lock_descriptor_);
    core::create_directories(root_);
  }
  ::close(lock_descriptor_);
  fail<InvalidArgument>("[run] another process works in {}. Wait for it or name another folder with --set output=DIR.",
                        root_.string());
}

void Workspace::remove_empty_folders() const {
  std::error_code ignored;  // a folder that stays is no reason to end a program
  const auto entries = [&] { return std::distance(fs::directory_iterator(root_, ignored), fs::directory_iterator()); };
  if (made_.empty() || entries() != 1) return;
  fs::remove(root_ / kLockFile, ignored);
  for (const fs::path& folder : made_) {
    if (!fs::remove(folder, ignored)) return;  // others have put something there
  }
}

std::optional<core::Json> Workspace::find_result(const std::string& stage, const std::string& key) const {
  const fs::path file = stage_folder(stage) / kResultFile;
  if (!fs::exists(file)) return std::nullopt;
  try {
    core::Json result = core::parse_json(core::read_file(file), file.string());
    if (core::JsonView(result, "result")["key"].as_string() == key) return result;
  } catch (const IoError& error) {
    core::log_warning("[run] {}: the stage is done again", error.what());
  }
  return std::nullopt;
}

void Workspace::put_result(const std::string& stage, const std::string& key, core::Json result) const {
  result["key"] = key;
  core::write_file(stage_folder(stage) / kResultFile, result.dump(2) + "\n");
}

void Workspace::set_aside(const std::string& stage) const {
  const fs::path folder = stage_folder(stage);
  if (fs::exists(model_file(stage)) || fs::exists(checkpoint_folder(stage))) {
    const fs::path previous = previous_folder(folder);
    fs::rename(folder, previous);
    core::log_warning("[run] {} was made with other settings: it is kept in {}", folder.string(), previous.string());
  }
  fs::remove_all(folder);
}

void Workspace::begin_stage(const std::string& stage, const std::string& key) const {
  const fs::path folder = stage_folder(stage), key_file = folder / kKeyFile;
  const bool continues = fs::exists(key_file) && core::read_file(key_file, 4096) == key;
  if (!continues) set_aside(stage);
  core::create_directories(folder);
  if (!continues) core::write_file(key_file, key);
}

void Workspace::end_stage(const std::string& stage) const {
  fs::remove_all(checkpoint_folder(stage));
  fs::remove(teacher_outputs_file(stage));
}

}  // namespace limbeck::recipe
