#include "limbeck/core/format.h"

#include <fmt/core.h>

#include <array>
#include <cmath>
#include <span>
#include <string_view>

namespace limbeck::core {
namespace {

// Three significant digits of 0 <= value < 1000.
std::string three_digits(double value) {
  const int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  return fmt::format("{:.{}f}", value, decimals);
}

struct Scaled {
  double value;
  std::size_t unit;
};

// Divides by `factor` until the value, as it will be printed, is below it.
Scaled scale(double value, double factor, std::size_t num_units) {
  std::size_t unit = 0;
  for (; std::round(value) >= factor && unit + 1 < num_units; ++unit) value /= factor;
  return {value, unit};
}

}  // namespace

std::string format_thousands(std::int64_t value) {
  std::string digits = std::to_string(value);
  const std::size_t first = digits.starts_with('-') ? 1 : 0;
  for (std::size_t i = digits.size(); i > first + 3; i -= 3) digits.insert(i - 3, 1, ',');
  return digits;
}

std::string format_si(double value) {
  constexpr std::array<std::string_view, 7> kSuffixes = {"", " k", " M", " G", " T", " P", " E"};
  if (!std::isfinite(value)) return fmt::format("{}", value);
  if (value < 0) return "-" + format_si(-value);
  const auto [scaled, unit] = scale(value, 1000, kSuffixes.size());
  if (unit == 0) return value == std::floor(value) ? fmt::format("{:.0f}", value) : fmt::format("{:.3g}", value);
  return three_digits(scaled) + std::string(kSuffixes[unit]);
}

std::string format_bytes(std::uint64_t bytes) {
  constexpr std::array<std::string_view, 7> kUnits = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes < 1024) return fmt::format("{} B", bytes);
  const auto [scaled, unit] = scale(static_cast<double>(bytes), 1024, kUnits.size());
  return fmt::format("{} {}", three_digits(scaled), kUnits[unit]);
}

std::string format_percent(double share, int decimals) { return fmt::format("{:.{}f} %", share * 100, decimals); }

std::string format_duration(double seconds) {
  if (!std::isfinite(seconds)) return "unknown";
  if (seconds < 0) return "-" + format_duration(-seconds);
  if (seconds < 0.9995) {
    constexpr std::array<std::string_view, 3> kUnits = {"ns", "µs", "ms"};
    const auto [scaled, unit] = scale(seconds * 1e9, 1000, kUnits.size());
    return fmt::format("{} {}", three_digits(scaled), kUnits[unit]);
  }
  if (seconds < 59.95) return three_digits(seconds) + " s";
  const auto whole = static_cast<std::int64_t>(std::round(seconds));
  if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
  const auto minutes = static_cast<std::int64_t>(std::round(seconds / 60));
  return fmt::format("{} h {} min", minutes / 60, minutes % 60);
}

}  // namespace limbeck::core
