#include "limbeck/recipe/workspace.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "limbeck/core/error.h"
#include "limbeck/core/file.h"
#include "limbeck/core/log.h"

namespace limbeck::recipe {

namespace fs = std::filesystem;

namespace {

constexpr const char* kResultFile = "result.json";
constexpr const char* kKeyFile = "key";

/// Out of the way with what other settings made; a finished model is not lost.
void set_aside(const fs::path& folder, const fs::path& model_file) {
  if (fs::exists(folder / kResultFile) && fs::exists(model_file)) {
    const fs::path previous = folder.string() + ".previous";
    fs::remove_all(previous);
    fs::rename(folder, previous);
    core::log_warning("[run] {} was made with other settings: it is kept in {}", folder.string(), previous.string());
  }
  fs::remove_all(folder);
}

}  // namespace

Workspace::Workspace(fs::path root, WorkspaceUse use) : root_(std::move(root)) {
  if (use == WorkspaceUse::read) return;
  core::create_directories(root_);
  const fs::path lock = root_ / ".lock";
  lock_descriptor_ = ::open(lock.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0666);
  if (lock_descriptor_ < 0) fail<IoError>("[run] cannot open {}: {}", lock.string(), std::strerror(errno));
  if (::flock(lock_descriptor_, LOCK_EX | LOCK_NB) != 0) {
    ::close(lock_descriptor_);
    fail<InvalidArgument>(
        "[run] another process works in {}. Wait for it or name another folder with --set output=DIR.", root_.string());
  }
}

Workspace::~Workspace() {
  if (lock_descriptor_ >= 0) ::close(lock_descriptor_);
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

void Workspace::begin_stage(const std::string& stage, const std::string& key) const {
  const fs::path folder = stage_folder(stage), key_file = folder / kKeyFile;
  const bool continues = fs::exists(key_file) && core::read_file(key_file, 4096) == key;
  if (!continues) set_aside(folder, model_file(stage));
  core::create_directories(folder);
  if (!continues) core::write_file(key_file, key);
}

void Workspace::end_stage(const std::string& stage) const {
  fs::remove_all(checkpoint_folder(stage));
  fs::remove(teacher_outputs_file(stage));
}

}  // namespace limbeck::recipe
