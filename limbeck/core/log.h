// Diagnostics. Libraries are quiet: nothing goes to stdout, and only warnings and errors reach stderr unless the
// environment variable LIMBECK_LOG (debug, info, warning, error, off) or set_log_level says otherwise. Failures are
// exceptions, never log lines. spdlog stays inside log.cpp. All functions may be called from any thread.
#pragma once

#include <fmt/core.h>

#include <functional>
#include <string_view>
#include <utility>

namespace limbeck::core {

enum class LogLevel { debug, info, warning, error, off };

/// "debug", "info", "warning", "error" or "off".
std::string_view log_level_name(LogLevel level);

/// The level of that name. Throws InvalidArgument that lists the names.
LogLevel parse_log_level(std::string_view name);

/// The current level: that of LIMBECK_LOG at first use, else `warning`. An unknown LIMBECK_LOG is reported once.
LogLevel log_level();
void set_log_level(LogLevel level);

/// Where messages go instead of stderr (tests, Python's logging); an empty function restores stderr.
using LogSink = std::function<void(LogLevel, std::string_view)>;
void set_log_sink(LogSink sink);

/// Writes one line if `level` is enabled.
void write_log(LogLevel level, std::string_view message);

inline bool is_log_enabled(LogLevel level) { return level != LogLevel::off && level >= log_level(); }

/// Formats and writes one line at `level`; arguments are formatted only if the level is enabled.
template <class... Args>
void log_at(LogLevel level, fmt::format_string<Args...> format, Args&&... args) {
  if (is_log_enabled(level)) write_log(level, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_debug(fmt::format_string<Args...> format, Args&&... args) {
  log_at(LogLevel::debug, format, std::forward<Args>(args)...);
}
template <class... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) {
  log_at(LogLevel::info, format, std::forward<Args>(args)...);
}
template <class... Args>
void log_warning(fmt::format_string<Args...> format, Args&&... args) {
  log_at(LogLevel::warning, format, std::forward<Args>(args)...);
}

}  // namespace limbeck::core
