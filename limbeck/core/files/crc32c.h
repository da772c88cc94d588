// CRC-32C (Castagnoli polynomial, RFC 3720 appendix B.4), as record files use it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace limbeck::core {

/// The checksum of `bytes`; that of "123456789" is 0xE3069283.
std::uint32_t crc32c(std::span<const std::byte> bytes);

}  // namespace limbeck::core
