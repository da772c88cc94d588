#include "limbeck/core/files/crc32c.h"

#include <array>

namespace limbeck::core {

namespace {

constexpr std::uint32_t kPolynomial = 0x82F63B78;  // 0x1EDC6F41, bits reversed

constexpr std::array<std::uint32_t, 256> make_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t remainder = byte;
    for (int bit = 0; bit < 8; ++bit) remainder = (remainder >> 1) ^ ((remainder & 1) != 0 ? kPolynomial : 0);
    table[byte] = remainder;
  }
  return table;
}

constexpr std::array<std::uint32_t, 256> kTable = make_table();

}  // namespace

std::uint32_t crc32c(std::span<const std::byte> bytes) {
  std::uint32_t checksum = ~std::uint32_t{0};
  for (const std::byte byte : bytes) {
    checksum = (checksum >> 8) ^ kTable[(checksum ^ std::to_integer<std::uint32_t>(byte)) & 0xFF];
  }
  return ~checksum;
}

}  // namespace limbeck::core
