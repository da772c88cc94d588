#include "limbeck/core/files/crc32c.h"

#include <gtest/gtest.h>

#include <vector>

#include "limbeck/core/files/file.h"

namespace limbeck::core {
namespace {

// RFC 3720, appendix B.4, and the check value of the CRC catalogue.
TEST(Crc32c, EqualsPublishedValues) {
  EXPECT_EQ(crc32c(as_bytes("123456789")), 0xE3069283U);
  EXPECT_EQ(crc32c({}), 0U);
  EXPECT_EQ(crc32c(std::vector(32, std::byte{0x00})), 0x8A9136AAU);
  EXPECT_EQ(crc32c(std::vector(32, std::byte{0xFF})), 0x62A8AB43U);
}

}  // namespace
}  // namespace limbeck::core
