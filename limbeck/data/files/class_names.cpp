#include "limbeck/data/files/class_names.h"

#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"
#include "limbeck/core/utf8.h"

#include <set>
#include <utility>

namespace limbeck::data {
namespace {

constexpr std::uint64_t kMaxFileBytes = std::uint64_t{16} << 20;
constexpr std::size_t kMaxNames = 100'000;
constexpr std::size_t kMaxNameBytes = 1'000;

std::string_view without_ends(std::string_view text) {
  const std::size_t last = text.find_last_not_of("\r\n");
  return text.substr(0, last == std::string_view::npos ? 0 : last + 1);
}

std::string_view next_line(std::string_view& text) {
  const std::size_t end = text.find('\n');
  const std::string_view line = text.substr(0, end);
  text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
  return without_ends(line);
}

void check_name(std::string_view name, std::size_t line, const std::string& source) {
  if (name.empty()) fail<IoError>("[data] {}: line {} is empty. Give one name of a class a line.", source, line);
  if (name.size() > kMaxNameBytes) {
    fail<IoError>("[data] {}: the name in line {} is longer than {} bytes. Give one name of a class a line.", source,
                  line, kMaxNameBytes);
  }
  if (!core::is_utf8(name)) fail<IoError>("[data] {}: line {} is not UTF-8. Save it as such.", source, line);
}

}  // namespace

std::vector<std::string> parse_class_names(std::string_view text, const std::string& source) {
  std::vector<std::string> names;
  std::set<std::string_view> seen;
  text = without_ends(text);
  while (!text.empty()) {
    const std::string_view name = next_line(text);
    check_name(name, names.size() + 1, source);
    if (!seen.insert(name).second) fail<IoError>("[data] {}: '{}' stands there twice.", source, name);
    if (names.size() == kMaxNames) fail<IoError>("[data] {} names more than {} classes.", source, kMaxNames);
    names.emplace_back(name);
  }
  return names;
}

std::vector<std::string> read_class_names(const std::filesystem::path& path) {
  return parse_class_names(core::read_file(path, kMaxFileBytes), path.string());
}

std::vector<std::string> numbered_class_names(std::int64_t num_classes) {
  std::vector<std::string> names;
  names.reserve(static_cast<std::size_t>(num_classes));
  for (std::int64_t i = 0; i < num_classes; ++i) names.push_back(std::to_string(i));
  return names;
}

}  // namespace limbeck::data
