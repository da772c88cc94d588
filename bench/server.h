// What the C++ sides of the benchmarks have in common. Each is a process that holds our side of a comparison and runs
// rounds of it when told to, so that rounds of the peer and of Limbeck alternate on a machine whose speed drifts; the
// other end is Server in bench/side_by_side.py.
#pragma once

#include <chrono>
#include <exception>
#include <iostream>
#include <sstream>
#include <string>

namespace limbeck::bench {

using Clock = std::chrono::steady_clock;

inline double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

/// Milliseconds of `count` runs each, separated by spaces.
template <class Run>
std::string time_rounds(int count, const Run& run) {
  std::ostringstream times;
  for (int i = 0; i < count; ++i) {
    const Clock::time_point start = Clock::now();
    run();
    times << milliseconds_since(start) << ' ';
  }
  return times.str();
}

/// Commands on standard input, one a line; answer(line) on standard output, one a line. An exception's text goes to
/// standard error and ends it. Returns the process's exit status.
template <class Answer>
int serve(const Answer& answer) {
  for (std::string line; std::getline(std::cin, line);) {
    try {
      std::cout << answer(line) << std::endl;
    } catch (const std::exception& error) {
      std::cerr << error.what() << std::endl;
      return 1;
    }
  }
  return 0;
}

}  // namespace limbeck::bench
