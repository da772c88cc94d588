#include "limbeck/measure/memory.h"

#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>

namespace limbeck::measure {
namespace {

namespace fs = std::filesystem;

// The value of a line "NAME:   123 kB", in bytes.
std::optional<std::uint64_t> field_bytes(std::string_view text, std::string_view name) {
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text = end == text.npos ? std::string_view{} : text.substr(end + 1);
    if (!line.starts_with(name)) continue;
    line.remove_prefix(name.size());
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    std::uint64_t kib = 0;
    const auto [rest, error] = std::from_chars(line.data(), line.data() + line.size(), kib);
    if (error != std::errc{} || std::string_view(rest, line.data() + line.size()) != " kB") return std::nullopt;
    return kib * 1024;
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::uint64_t> parse_private_bytes(std::string_view smaps_rollup) {
  const auto clean = field_bytes(smaps_rollup, "Private_Clean:");
  const auto dirty = field_bytes(smaps_rollup, "Private_Dirty:");
  if (!clean || !dirty) return std::nullopt;
  return *clean + *dirty;
}

std::optional<std::uint64_t> private_memory_bytes() {
  std::ifstream in("/proc/self/smaps_rollup");
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  return parse_private_bytes(text);
}

std::uint64_t size_on_disk_bytes(const fs::path& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) return core::file_size(path);
  std::uint64_t total = 0;
  fs::recursive_directory_iterator entry(path, error);
  for (; !error && entry != fs::recursive_directory_iterator{}; entry.increment(error)) {
    if (!entry->is_symlink() && entry->is_regular_file()) total += core::file_size(entry->path());
  }
  if (error) fail<IoError>("[measure] cannot read the folder {}: {}.", path.string(), error.message());
  return total;
}

}  // namespace limbeck::measure
