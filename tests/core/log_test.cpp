#include "limbeck/core/log.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "limbeck/core/error.h"

namespace limbeck::core {
namespace {

// Collects messages while it lives and restores level and sink.
class Recorder {
 public:
  explicit Recorder(LogLevel level) : before_(log_level()) {
    set_log_level(level);
    set_log_sink([this](LogLevel at, std::string_view text) {
      lines.push_back(std::string(log_level_name(at)) + ": " + std::string(text));
    });
  }
  ~Recorder() {
    set_log_sink(nullptr);
    set_log_level(before_);
  }
  std::vector<std::string> lines;

 private:
  LogLevel before_;
};

TEST(Log, WritesWhatTheLevelEnables) {
  Recorder recorder(LogLevel::info);
  log_debug("a {}", 1);
  log_info("b {}", 2);
  log_warning("c {}", 3);
  EXPECT_EQ(recorder.lines, (std::vector<std::string>{"info: b 2", "warning: c 3"}));
}

TEST(Log, IsSilentWhenOff) {
  Recorder recorder(LogLevel::off);
  log_warning("x");
  write_log(LogLevel::error, "y");
  write_log(LogLevel::off, "z");
  EXPECT_TRUE(recorder.lines.empty());
}

TEST(Log, ParsesNames) {
  for (const char* name : {"debug", "info", "warning", "error", "off"})
    EXPECT_EQ(log_level_name(parse_log_level(name)), name);
  try {
    parse_log_level("loud");
    FAIL() << "no exception";
  } catch (const InvalidArgument& error) {
    EXPECT_STREQ(error.what(), "[log] unknown level 'loud'. Levels: debug, info, warning, error, off.");
  }
}

TEST(Log, GoesToStderrAndNeverToStdout) {
  ::testing::internal::CaptureStderr();
  ::testing::internal::CaptureStdout();
  set_log_level(LogLevel::warning);
  log_info("quiet");
  log_warning("100% of {} {{}}", "braces");
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "");
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "limbeck warning: 100% of braces {}\n");
}

// Each in a process of its own, since the environment is read once.
TEST(LogDeathTest, TakesItsLevelFromTheEnvironment) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto exit_with_level = [](const char* value) {
    setenv("LIMBECK_LOG", value, 1);
    std::exit(static_cast<int>(log_level()));
  };
  EXPECT_EXIT(exit_with_level("debug"), ::testing::ExitedWithCode(static_cast<int>(LogLevel::debug)), "");
  EXPECT_EXIT(exit_with_level("off"), ::testing::ExitedWithCode(static_cast<int>(LogLevel::off)), "");
  EXPECT_EXIT(exit_with_level("loud"), ::testing::ExitedWithCode(static_cast<int>(LogLevel::warning)),
              "LIMBECK_LOG is ignored: .*unknown level 'loud'");
}

}  // namespace
}  // namespace limbeck::core
