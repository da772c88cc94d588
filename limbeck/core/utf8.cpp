#include "limbeck/core/utf8.h"

#include <fmt/core.h>

#include <cstdint>

namespace limbeck::core {
namespace {

struct CodePoint {
  std::size_t num_bytes;  // 0: invalid
  std::uint32_t value;
};

// The lead byte: how many bytes follow from it and the bits it holds.
CodePoint decode_lead(unsigned char lead) {
  if (lead < 0x80) return {1, lead};
  if ((lead & 0xE0) == 0xC0) return {2, lead & 0x1Fu};
  if ((lead & 0xF0) == 0xE0) return {3, lead & 0x0Fu};
  if ((lead & 0xF8) == 0xF0) return {4, lead & 0x07u};
  return {0, 0};
}

CodePoint decode(std::string_view text) {
  constexpr std::uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};  // by length: below it the form is overlong
  auto [num_bytes, value] = decode_lead(static_cast<unsigned char>(text[0]));
  if (num_bytes == 0 || num_bytes > text.size()) return {0, 0};
  for (std::size_t i = 1; i < num_bytes; ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte & 0xC0) != 0x80) return {0, 0};
    value = value << 6 | (byte & 0x3Fu);
  }
  const bool surrogate = value >= 0xD800 && value <= 0xDFFF;
  if (value < kSmallest[num_bytes] || surrogate || value > 0x10FFFF) return {0, 0};
  return {num_bytes, value};
}

}  // namespace

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    if (static_cast<unsigned char>(text[0]) < 0x80) {
      text.remove_prefix(1);
      continue;
    }
    const std::size_t num_bytes = decode(text).num_bytes;
    if (num_bytes == 0) return false;
    text.remove_prefix(num_bytes);
  }
  return true;
}

std::string printable(std::string_view text, std::size_t max_bytes) {
  std::string result;
  for (char c : text.substr(0, max_bytes)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7F)
      result += c;
    else
      result += fmt::format("\\x{:02x}", static_cast<unsigned>(byte));
  }
  return text.size() > max_bytes ? result + "..." : result;
}

}  // namespace limbeck::core
