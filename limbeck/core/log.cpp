#include "limbeck/core/log.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_color_sinks.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>

#include "limbeck/core/error.h"

namespace limbeck::core {
namespace {

constexpr std::array<std::string_view, 5> kNames = {"debug", "info", "warning", "error", "off"};

// Never destroyed, so that destructors of static objects may still log.
struct State {
  std::atomic<LogLevel> level{LogLevel::warning};
  std::mutex sink_mutex;
  std::shared_ptr<const LogSink> sink;
  spdlog::logger to_stderr{"limbeck", std::make_shared<spdlog::sinks::stderr_color_sink_mt>()};
};

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return spdlog::level::debug;
    case LogLevel::info:
      return spdlog::level::info;
    case LogLevel::warning:
      return spdlog::level::warn;
    case LogLevel::error:
      return spdlog::level::err;
    case LogLevel::off:
      break;
  }
  return spdlog::level::off;
}

// A logging setting must not make a program fail, so a wrong one is told and ignored.
void apply_environment(State& state) {
  const char* text = std::getenv("LIMBECK_LOG");
  if (text == nullptr || *text == '\0') return;
  try {
    state.level = parse_log_level(text);
  } catch (const InvalidArgument& error) {
    state.to_stderr.log(spdlog::level::warn,
                        spdlog::string_view_t("LIMBECK_LOG is ignored: " + std::string(error.what())));
  }
}

State& state() {
  static State& instance = [&]() -> State& {
    auto* created = new State;
    created->to_stderr.set_level(spdlog::level::trace);
    created->to_stderr.set_pattern("limbeck %^%l%$: %v");
    created->to_stderr.flush_on(spdlog::level::trace);
    apply_environment(*created);
    return *created;
  }();
  return instance;
}

}  // namespace

std::string_view log_level_name(LogLevel level) { return kNames.at(static_cast<std::size_t>(level)); }

LogLevel parse_log_level(std::string_view name) {
  for (std::size_t i = 0; i < kNames.size(); ++i)
    if (kNames[i] == name) return static_cast<LogLevel>(i);
  fail<InvalidArgument>("[log] unknown level '{}'. Levels: debug, info, warning, error, off.", name);
}

LogLevel log_level() { return state().level; }

void set_log_level(LogLevel level) { state().level = level; }

void set_log_sink(LogSink sink) {
  const std::lock_guard lock(state().sink_mutex);
  state().sink = sink ? std::make_shared<const LogSink>(std::move(sink)) : nullptr;
}

void write_log(LogLevel level, std::string_view message) {
  if (!is_log_enabled(level)) return;
  std::shared_ptr<const LogSink> sink;
  {
    const std::lock_guard lock(state().sink_mutex);
    sink = state().sink;
  }
  if (sink != nullptr)
    (*sink)(level, message);
  else
    state().to_stderr.log(to_spdlog(level), spdlog::string_view_t(message.data(), message.size()));
}

}  // namespace limbeck::core
