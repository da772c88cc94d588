// The command line's grammar.
#pragma once

#include <optional>
#include <string>

#include "cli/arguments.h"

namespace limbeck::cli {

/// What to do, or, for --help and wrong usage, what was printed and the exit code.
struct Parsed {
  std::optional<Arguments> arguments;
  int exit_code = 0;
};

/// Prints help to standard output and usage errors to standard error.
Parsed parse(int argc, const char* const* argv);

}  // namespace limbeck::cli
