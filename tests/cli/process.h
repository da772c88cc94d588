// Runs the command line tool as its users do: as a process, by its arguments, exit code and output.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "limbeck/core/files/file.h"
#include "limbeck/core/json/json.h"

namespace limbeck::testing {

struct ProcessOptions {
  std::vector<std::pair<std::string, std::string>> environment{};  // set beside what the test has
  std::filesystem::path working_directory{};                       // empty: the test's
  std::optional<std::filesystem::path> tiny_disk{};                // a folder on which only `tiny_disk_bytes` fit
  std::uint64_t tiny_disk_bytes = 0;
};

struct Finished {
  int exit_code = -1;  // -1: ended by a signal
  int signal = 0;
  std::string out, err;

  /// Standard output as JSON. A test failure, and null, if it is none.
  core::Json json() const;
};

/// The limbeck program, running.
class LimbeckProcess {
 public:
  explicit LimbeckProcess(const std::vector<std::string>& arguments, const ProcessOptions& options = {});
  /// Kills it if it still runs.
  ~LimbeckProcess();
  LimbeckProcess(const LimbeckProcess&) = delete;
  LimbeckProcess& operator=(const LimbeckProcess&) = delete;

  void send(int signal) const;
  /// What it has written to standard error so far.
  std::string error_output() const;
  /// Waits until `condition` holds, the process ends, or a minute has passed. Returns whether it holds.
  bool wait_until(const std::function<bool()>& condition);
  Finished wait();

 private:
  bool has_ended();

  core::TemporaryDirectory folder_;
  pid_t pid_ = -1;
  std::optional<int> status_;
};

/// Runs it to its end.
Finished run_limbeck(const std::vector<std::string>& arguments, const ProcessOptions& options = {});

}  // namespace limbeck::testing
