// limbeck: the command line tool. Parses, calls one library function, shows.
#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <variant>

#include "cli/commands.h"
#include "cli/parse.h"
#include "limbeck/core/error.h"

namespace cli = limbeck::cli;

int main(int argc, char** argv) {
  try {
    const cli::Parsed parsed = cli::parse(argc, argv);
    if (!parsed.arguments) return parsed.exit_code;
    return std::visit([](const auto& arguments) { return cli::run_command(arguments); }, *parsed.arguments);
  } catch (const limbeck::Error& error) {
    fmt::print(stderr, "limbeck: {}\n", error.what());
  } catch (const c10::Error& error) {  // without libtorch's stack frames
    fmt::print(stderr, "limbeck: libtorch: {}\n", error.what_without_backtrace());
  } catch (const std::exception& error) {
    fmt::print(stderr, "limbeck: unexpected: {}\n", error.what());
  }
  return cli::kFailure;
}
