#include "tests/cli/process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <thread>

#include "limbeck/core/error.h"

namespace limbeck::testing {

namespace {

using Clock = std::chrono::steady_clock;

/// In the child: a file system of that size over the folder, seen by this process alone.
bool mount_tiny_disk(const ProcessOptions& options) {
  const int spaces = CLONE_NEWNS | (::geteuid() == 0 ? 0 : CLONE_NEWUSER);
  if (::unshare(spaces) != 0) return false;
  if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return false;
  const std::string size = "size=" + std::to_string(options.tiny_disk_bytes);
  return ::mount("tmpfs", options.tiny_disk->c_str(), "tmpfs", 0, size.c_str()) == 0;
}

/// In the child: where nothing may be mounted, no file may be larger.
void limit_file_size(std::uint64_t bytes) {
  ::signal(SIGXFSZ, SIG_IGN);  // so that the write fails instead
  const rlimit limit{bytes, bytes};
  ::setrlimit(RLIMIT_FSIZE, &limit);
}

[[noreturn]] void become_limbeck(std::vector<std::string> arguments, const ProcessOptions& options,
                                 const std::filesystem::path& folder) {
  const int out = ::open((folder / "out").c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  const int err = ::open((folder / "err").c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (options.tiny_disk && !mount_tiny_disk(options)) limit_file_size(options.tiny_disk_bytes);
  ::dup2(out, STDOUT_FILENO);
  ::dup2(err, STDERR_FILENO);
  for (const auto& [name, value] : options.environment) ::setenv(name.c_str(), value.c_str(), 1);
  if (!options.working_directory.empty() && ::chdir(options.working_directory.c_str()) != 0) ::_exit(126);
  arguments.insert(arguments.begin(), "limbeck");
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  ::execv(LIMBECK_CLI, argv.data());
  ::_exit(127);
}

/// Nothing of a process that ended before it opened the file.
std::string content_of(const std::filesystem::path& file) {
  return std::filesystem::exists(file) ? core::read_file(file) : std::string();
}

}  // namespace

core::Json Finished::json() const {
  try {
    return core::parse_json(out, "standard output");
  } catch (const IoError& error) {
    ADD_FAILURE() << error.what() << "\n" << out << "\n" << err;
    return {};
  }
}

LimbeckProcess::LimbeckProcess(const std::vector<std::string>& arguments, const ProcessOptions& options) {
  pid_ = ::fork();
  if (pid_ == 0) become_limbeck(arguments, options, folder_.path());
  LIMBECK_CHECK(pid_ > 0, "no process for {}", LIMBECK_CLI);
}

LimbeckProcess::~LimbeckProcess() {
  if (status_) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

void LimbeckProcess::send(int signal) const { ::kill(pid_, signal); }

std::string LimbeckProcess::error_output() const { return content_of(folder_.path() / "err"); }

bool LimbeckProcess::has_ended() {
  int status = 0;
  if (!status_ && ::waitpid(pid_, &status, WNOHANG) == pid_) status_ = status;
  return status_.has_value();
}

bool LimbeckProcess::wait_until(const std::function<bool()>& condition) {
  const Clock::time_point end = Clock::now() + std::chrono::minutes(1);
  while (!condition()) {
    if (has_ended() || Clock::now() > end) return condition();
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

Finished LimbeckProcess::wait() {
  int status = 0;
  if (!status_ && ::waitpid(pid_, &status, 0) == pid_) status_ = status;
  const int ended = status_.value_or(0);
  return {.exit_code = WIFEXITED(ended) ? WEXITSTATUS(ended) : -1,
          .signal = WIFSIGNALED(ended) ? WTERMSIG(ended) : 0,
          .out = content_of(folder_.path() / "out"),
          .err = content_of(folder_.path() / "err")};
}

Finished run_limbeck(const std::vector<std::string>& arguments, const ProcessOptions& options) {
  return LimbeckProcess(arguments, options).wait();
}

}  // namespace limbeck::testing
