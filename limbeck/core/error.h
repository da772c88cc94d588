// Errors and checks. Everything Limbeck throws derives from Error; the class says whose fault it is and so
// what the command line's exit code and Python's exception class will be. A message names where it happened,
// the rule, what came, and what to do: "[quantize] weight 'fc1.weight' must be 2-D, got [64, 3, 3, 3]. Exclude it ...".
#pragma once

#include <fmt/core.h>

#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace limbeck {

/// Root of all errors thrown by Limbeck.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The caller passed something invalid (Python: ValueError; exit code 2 for flags and recipes, else 1).
class InvalidArgument : public Error {
 public:
  using Error::Error;
};

/// The request is valid but Limbeck, this build or this machine cannot do it (Python: NotImplementedError).
class Unsupported : public Error {
 public:
  using Error::Error;
};

/// A file could not be read, written or trusted (Python: OSError).
class IoError : public Error {
 public:
  using Error::Error;
};

/// A bug in Limbeck (Python: RuntimeError).
class InternalError : public Error {
 public:
  using Error::Error;
};

/// Throws `E` with a formatted message: `fail<IoError>("[idx] {} is truncated", path)`.
template <class E, class... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw E(fmt::format(format, std::forward<Args>(args)...));
}

/// The candidates nearest to `name` by edit distance, best first, at most `limit`; empty when none is near.
std::string nearest_names(std::string_view name, std::span<const std::string> candidates, std::size_t limit = 3);

/// The same as the end of a message, " Nearest: a, b."; empty when none is near.
std::string nearest_hint(std::string_view name, std::span<const std::string> candidates);

}  // namespace limbeck

/// Throws InvalidArgument with the formatted message unless `condition` holds.
#define LIMBECK_CHECK(condition, ...)                                           \
  do {                                                                          \
    if (!(condition)) ::limbeck::fail<::limbeck::InvalidArgument>(__VA_ARGS__); \
  } while (false)

/// Throws InternalError unless `condition` holds: an invariant of ours, never a user's mistake.
#define LIMBECK_ASSERT(condition, ...)                                        \
  do {                                                                        \
    if (!(condition)) ::limbeck::fail<::limbeck::InternalError>(__VA_ARGS__); \
  } while (false)
