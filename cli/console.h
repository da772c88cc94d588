// What people see while a command works: one line that renews itself on a terminal, plain lines elsewhere. Progress
// goes to standard error, results to standard output.
#pragma once

#include <chrono>
#include <string>

#include "cli/arguments.h"
#include "limbeck/core/json/json.h"
#include "limbeck/core/stop.h"
#include "limbeck/recipe/run.h"

namespace limbeck::cli {

/// Columns of the terminal, at most 120; 80 where there is none.
std::size_t terminal_width();

/// Writes to standard output.
void print(const std::string& text);
void print(const core::Json& json);

/// The flag that SIGINT and SIGTERM raise, installed on first use. A second signal ends the process at once.
const core::StopFlag* stop_on_signals();

class Console {
 public:
  explicit Console(const OutputOptions& options);
  ~Console();
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  recipe::RunEvents events();

  /// Shows how far work is that is counted, with the time that the rest will take; in a file every ten seconds.
  void count(const std::string& what, int64_t done, int64_t all);
  /// Takes back what shows a state, before a result is printed.
  void clear();

  /// Tells people what a result does not say by itself.
  void note(const std::string& text) { line("limbeck: note: " + text); }

 private:
  using Clock = std::chrono::steady_clock;
  /// Shows a state that the next one replaces; elsewhere than on a terminal, only every ten seconds.
  void show(const std::string& text);
  /// Shows a line that stays.
  void line(const std::string& text);
  /// Of several runs, names the one that begins.
  void name_trial(const std::string& trial);

  bool is_quiet_, is_terminal_;
  std::size_t shown_width_ = 0;
  Clock::time_point last_shown_{};
  std::string counted_;                // what is counted now
  Clock::time_point counted_since_{};  // and when that began
  std::string trial_;                  // the run that was named last, of several
};

}  // namespace limbeck::cli
