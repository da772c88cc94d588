// Numbers as reports, tables and progress lines show them. Locale plays no part.
#pragma once

#include <cstdint>
#include <string>

namespace limbeck::core {

/// 11689512 -> "11,689,512".
std::string format_thousands(std::int64_t value);

/// Three significant digits with an SI suffix: 308074 -> "308 k", 4.09e9 -> "4.09 G", 999 -> "999", 0 -> "0".
std::string format_si(double value);

/// Binary units: 512 -> "512 B", 1536 -> "1.50 KiB", 1 << 30 -> "1.00 GiB".
std::string format_bytes(std::uint64_t bytes);

/// A share of one: 0.9134 -> "91.34 %" with two decimals.
std::string format_percent(double share, int decimals = 2);

/// A duration: 0.0000123 -> "12.3 µs", 0.045 -> "45.0 ms", 3.2 -> "3.20 s", 75 -> "1 min 15 s", 7260 -> "2 h 1 min".
std::string format_duration(double seconds);

}  // namespace limbeck::core
