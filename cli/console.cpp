#include "cli/console.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>

#include "limbeck/core/format.h"
#include "limbeck/core/table.h"

namespace limbeck::cli {

namespace {

core::StopFlag stop_flag;

void on_signal(int number) {
  if (stop_flag.is_requested()) _exit(128 + number);
  stop_flag.request();
}

/// 80 where it is no terminal.
std::size_t columns_of(int descriptor) {
  winsize size{};
  return ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

std::string stage_text(const recipe::StageTitle& title) {
  return fmt::format("[{}/{}] {}", title.index, title.count, title.name);
}

/// In whole seconds: an estimate is no better.
std::string time_left_text(double seconds) {
  return seconds < 1 ? "0 s" : seconds < 60 ? fmt::format("{:.0f} s", seconds) : core::format_duration(seconds);
}

std::string training_text(const recipe::StageTitle& title, const train::ProgressEvent& event) {
  return fmt::format("{}  epoch {}/{}  {}/{}  {} img/s  loss {:.3f}  {} left", stage_text(title), event.epoch + 1,
                     event.epochs, event.step, event.steps,
                     core::format_thousands(static_cast<int64_t>(event.images_per_second)), event.loss,
                     time_left_text(event.seconds_left));
}

std::string epoch_text(const recipe::StageTitle& title, const train::ProgressEvent& event) {
  const std::string val = event.val_accuracy ? "  val " + core::format_percent(*event.val_accuracy) : std::string();
  const std::string averaged =
      event.averaged_val_accuracy ? "  ema " + core::format_percent(*event.averaged_val_accuracy) : std::string();
  return fmt::format("{}  epoch {}/{}  loss {:.4f}  top-1 {}{}{}  {} img/s", stage_text(title), event.epoch + 1,
                     event.epochs, event.loss, core::format_percent(event.accuracy), val, averaged,
                     core::format_thousands(static_cast<int64_t>(event.images_per_second)));
}

}  // namespace

std::size_t terminal_width() { return std::min<std::size_t>(columns_of(STDOUT_FILENO), 120); }

void print(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

void print(const core::Json& json) { print(json.dump(2) + "\n"); }

const core::StopFlag* stop_on_signals() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  return &stop_flag;
}

Console::Console(const OutputOptions& options)
    : is_quiet_(options.quiet || options.json), is_terminal_(isatty(STDERR_FILENO) == 1) {}

Console::~Console() {
  if (shown_width_ > 0) std::fputc('\n', stderr);
}

void Console::show(const std::string& text) {
  const auto wait = is_terminal_ ? std::chrono::milliseconds(100) : std::chrono::milliseconds(10'000);
  if (is_quiet_ || Clock::now() - last_shown_ < wait) return;
  last_shown_ = Clock::now();
  if (!is_terminal_) {
    fmt::print(stderr, "{}\n", text);
    return;
  }
  const std::string shown =
      core::truncate_to_width(text, columns_of(STDERR_FILENO) - 1);  // wrapped, \r would not undo it
  const std::size_t width = core::display_width(shown);
  const std::size_t padding = shown_width_ > width ? shown_width_ - width : 0;
  fmt::print(stderr, "\r{}{}", shown, std::string(padding, ' '));
  std::fflush(stderr);
  shown_width_ = width;
}

void Console::line(const std::string& text) {
  if (is_quiet_) return;
  clear();
  const std::size_t columns = columns_of(STDERR_FILENO);
  if (core::display_width(text) <= columns) {
    fmt::print(stderr, "{}\n", text);
  } else {
    constexpr std::size_t kIndent = 4;  // of what does not fit into the first line
    const std::vector<std::string> lines = core::wrap(text, columns - kIndent);
    for (std::size_t i = 0; i < lines.size(); ++i)
      fmt::print(stderr, "{}{}\n", std::string(i == 0 ? 0 : kIndent, ' '), lines[i]);
  }
  std::fflush(stderr);
  last_shown_ = Clock::now();
}

void Console::count(const std::string& what, int64_t done, int64_t all) {
  if (what != counted_ || done == 0) {
    counted_ = what;
    counted_since_ = Clock::now();
    if (!is_terminal_) last_shown_ = counted_since_;  // a file gets lines of what takes long alone
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - counted_since_).count();
  const auto left = seconds * static_cast<double>(all - done) / static_cast<double>(std::max<int64_t>(done, 1));
  const std::string time_left = done > 0 ? fmt::format("  {} left", time_left_text(left)) : std::string();
  show(fmt::format("{}  {}/{}{}", what, core::format_thousands(done), core::format_thousands(all), time_left));
}

void Console::clear() {
  if (shown_width_ > 0) fmt::print(stderr, "\r{}\r", std::string(shown_width_, ' '));
  std::fflush(stderr);
  shown_width_ = 0;
}

void Console::name_trial(const std::string& trial) {
  if (trial != trial_) line("Run " + trial);
  trial_ = trial;
}

recipe::RunEvents Console::events() {
  using recipe::StageTitle;
  return {
      .on_stage_begin =
          [this](const StageTitle& title) {
            name_trial(title.trial);
            show(stage_text(title) + "  " + title.kind);
          },
      .on_training =
          [this](const StageTitle& title, const train::ProgressEvent& event) {
            event.is_epoch_end ? line(epoch_text(title, event)) : show(training_text(title, event));
          },
      .on_counting = [this](const StageTitle& title, const std::string& what, int64_t done,
                            int64_t all) { count(fmt::format("{}  {}", stage_text(title), what), done, all); },
      .on_note = [this](const StageTitle& title, const std::string& text) { line(stage_text(title) + "  " + text); },
      .on_stage_end =
          [this](const StageTitle& title, bool from_cache, double seconds) {
            line(fmt::format("{}  {}", stage_text(title),
                             from_cache ? "taken from its cache: nothing that it depends on has changed"
                                        : "done in " + core::format_duration(seconds)));
          }};
}

}  // namespace limbeck::cli
