#include "limbeck/core/hash.h"

#include <algorithm>
#include <bit>
#include <vector>

#include "limbeck/core/error.h"
#include "limbeck/core/files/file.h"

namespace limbeck::core {
namespace {

constexpr std::size_t kBlockBytes = 64;
constexpr std::size_t kPieceBytes = std::size_t{1} << 20;

// FIPS 180-4, section 4.2.2: fractional parts of the cube roots of the first 64 primes.
constexpr std::array<std::uint32_t, 64> kRoundConstants = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

constexpr std::uint32_t big_endian(const std::uint8_t* b) {
  return std::uint32_t{b[0]} << 24 | std::uint32_t{b[1]} << 16 | std::uint32_t{b[2]} << 8 | std::uint32_t{b[3]};
}

void store_big_endian(std::uint64_t value, std::uint8_t* out, int num_bytes) {
  for (int i = 0; i < num_bytes; ++i) out[i] = static_cast<std::uint8_t>(value >> (8 * (num_bytes - 1 - i)));
}

}  // namespace

Sha256::Sha256()
    : state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19} {}

void Sha256::compress(const std::uint8_t* block, std::size_t num_blocks) {
  for (; num_blocks > 0; --num_blocks, block += kBlockBytes) {
    std::array<std::uint32_t, 64> w;
    for (std::size_t t = 0; t < 16; ++t) w[t] = big_endian(block + 4 * t);
    for (std::size_t t = 16; t < 64; ++t) {
      const std::uint32_t s0 = std::rotr(w[t - 15], 7) ^ std::rotr(w[t - 15], 18) ^ (w[t - 15] >> 3);
      const std::uint32_t s1 = std::rotr(w[t - 2], 17) ^ std::rotr(w[t - 2], 19) ^ (w[t - 2] >> 10);
      w[t] = s1 + w[t - 7] + s0 + w[t - 16];
    }
    auto [a, b, c, d, e, f, g, h] = state_;
    for (std::size_t t = 0; t < 64; ++t) {
      const std::uint32_t sum1 = std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25);
      const std::uint32_t t1 = h + sum1 + ((e & f) ^ (~e & g)) + kRoundConstants[t] + w[t];
      const std::uint32_t sum0 = std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22);
      const std::uint32_t t2 = sum0 + ((a & b) ^ (a & c) ^ (b & c));
      h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
    }
    const std::array<std::uint32_t, 8> add = {a, b, c, d, e, f, g, h};
    for (std::size_t i = 0; i < 8; ++i) state_[i] += add[i];
  }
}

Sha256& Sha256::update(std::span<const std::byte> bytes) {
  const auto* data = reinterpret_cast<const std::uint8_t*>(bytes.data());
  std::size_t left = bytes.size();
  const std::size_t filled = num_bytes_ % kBlockBytes;
  num_bytes_ += left;
  if (filled > 0) {
    const std::size_t taken = std::min(left, kBlockBytes - filled);
    std::copy_n(data, taken, buffer_.data() + filled);
    data += taken;
    left -= taken;
    if (filled + taken < kBlockBytes) return *this;
    compress(buffer_.data(), 1);
  }
  compress(data, left / kBlockBytes);
  data += left / kBlockBytes * kBlockBytes;
  std::copy_n(data, left % kBlockBytes, buffer_.data());
  return *this;
}

Sha256& Sha256::update(std::string_view text) { return update(as_bytes(text)); }

Sha256::Digest Sha256::finish() {
  const std::uint64_t num_bits = num_bytes_ * 8;
  std::array<std::uint8_t, 2 * kBlockBytes> padding = {0x80};
  const std::size_t filled = num_bytes_ % kBlockBytes;
  const std::size_t zeros_end = (filled < 56 ? 56 : 120) - filled;
  store_big_endian(num_bits, padding.data() + zeros_end, 8);
  update(std::as_bytes(std::span(padding.data(), zeros_end + 8)));
  Digest digest;
  for (std::size_t i = 0; i < state_.size(); ++i) store_big_endian(state_[i], digest.data() + 4 * i, 4);
  return digest;
}

std::string Sha256::finish_hex() {
  std::string text;
  for (std::uint8_t byte : finish()) text += fmt::format("{:02x}", byte);
  return text;
}

std::string sha256_hex(std::string_view text) { return Sha256().update(text).finish_hex(); }

std::string sha256_hex(std::span<const std::byte> bytes) { return Sha256().update(bytes).finish_hex(); }

std::string sha256_file(const std::filesystem::path& path) {
  FileReader reader(path);
  std::vector<std::byte> piece(kPieceBytes);
  Sha256 hash;
  while (const std::size_t count = reader.read(piece)) hash.update(std::span(piece).first(count));
  return hash.finish_hex();
}

}  // namespace limbeck::core
