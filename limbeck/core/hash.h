// SHA-256 (FIPS 180-4), for cache keys and to tell files apart by content.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace limbeck::core {

/// Incremental: update as often as needed, then finish once.
class Sha256 {
 public:
  using Digest = std::array<std::uint8_t, 32>;

  Sha256();
  Sha256& update(std::span<const std::byte> bytes);
  Sha256& update(std::string_view text);
  Digest finish();

  /// finish() as 64 lower-case hexadecimal digits.
  std::string finish_hex();

 private:
  void compress(const std::uint8_t* block, std::size_t num_blocks);

  std::array<std::uint32_t, 8> state_;
  std::array<std::uint8_t, 64> buffer_{};
  std::uint64_t num_bytes_ = 0;
};

/// The hash of `text` or `bytes` in hexadecimal.
std::string sha256_hex(std::string_view text);
std::string sha256_hex(std::span<const std::byte> bytes);

/// The hash of a file's content in hexadecimal, read in pieces. Throws IoError.
std::string sha256_file(const std::filesystem::path& path);

}  // namespace limbeck::core
