#include "limbeck/core/rng.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "limbeck/core/error.h"

namespace limbeck::core {
namespace {

constexpr int kRounds = 10;
constexpr std::uint32_t kMultiplier0 = 0xD2511F53, kMultiplier1 = 0xCD9E8D57;  // section 4.3 of the paper
constexpr std::uint32_t kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;              // golden ratio, sqrt(3) - 1
constexpr std::uint64_t kMaxPosition = std::uint64_t{1} << 34;

__extension__ using Uint128 = unsigned __int128;

constexpr std::uint32_t low_half(std::uint64_t x) { return static_cast<std::uint32_t>(x); }
constexpr std::uint32_t high_half(std::uint64_t x) { return static_cast<std::uint32_t>(x >> 32); }

}  // namespace

PhiloxCounter philox4x32_10(PhiloxCounter c, PhiloxKey k) {
  for (int round = 0; round < kRounds; ++round) {
    const std::uint64_t p0 = std::uint64_t{kMultiplier0} * c[0];
    const std::uint64_t p1 = std::uint64_t{kMultiplier1} * c[2];
    c = {high_half(p1) ^ c[1] ^ k[0], low_half(p1), high_half(p0) ^ c[3] ^ k[1], low_half(p0)};
    k = {k[0] + kWeyl0, k[1] + kWeyl1};
  }
  return c;
}

Rng::Rng(const RngKey& key) : key_{low_half(key.seed), high_half(key.seed)} {
  LIMBECK_CHECK(key.epoch >> 32 == 0, "[rng] epoch must be below 2^32, got {}", key.epoch);
  LIMBECK_CHECK(key.sample >> 48 == 0, "[rng] sample must be below 2^48, got {}", key.sample);
  LIMBECK_CHECK(key.transform >> 16 == 0, "[rng] transform must be below 2^16, got {}", key.transform);
  counter_ = {0, low_half(key.epoch), low_half(key.sample), high_half(key.sample) | key.transform << 16};
}

std::uint32_t Rng::next_u32() {
  LIMBECK_ASSERT(position_ < kMaxPosition, "[rng] a stream has 2^34 words. Use one stream per sample or transform.");
  if (position_ % 4 == 0) {
    counter_[0] = static_cast<std::uint32_t>(position_ / 4);
    block_ = philox4x32_10(counter_, key_);
  }
  return block_[position_++ % 4];
}

std::uint64_t Rng::next_u64() {
  const std::uint64_t low = next_u32();
  return low | static_cast<std::uint64_t>(next_u32()) << 32;
}

void Rng::seek(std::uint64_t position) {
  LIMBECK_CHECK(position <= kMaxPosition, "[rng] position must be at most 2^34, got {}", position);
  position_ = position;
  if (position % 4 == 0) return;  // the next word computes its block
  counter_[0] = static_cast<std::uint32_t>(position / 4);
  block_ = philox4x32_10(counter_, key_);
}

double Rng::uniform() { return static_cast<double>(next_u64() >> 11) * 0x1p-53; }

float Rng::uniform_float() { return static_cast<float>(next_u32() >> 8) * 0x1p-24f; }

double Rng::uniform(double low, double high) {
  LIMBECK_CHECK(std::isfinite(low) && std::isfinite(high) && low <= high,
                "[rng] uniform needs finite low <= high, got [{}, {})", low, high);
  const double u = uniform();
  const double value = low * (1 - u) + high * u;  // no overflow of high - low
  return low == high ? low : std::clamp(value, low, std::nextafter(high, low));
}

std::uint64_t Rng::below(std::uint64_t n) {
  LIMBECK_CHECK(n > 0, "[rng] below needs a positive bound, got 0");
  Uint128 product = static_cast<Uint128>(next_u64()) * n;
  if (static_cast<std::uint64_t>(product) < n) {
    const std::uint64_t threshold = (0 - n) % n;  // 2^64 mod n
    while (static_cast<std::uint64_t>(product) < threshold) product = static_cast<Uint128>(next_u64()) * n;
  }
  return static_cast<std::uint64_t>(product >> 64);
}

std::int64_t Rng::between(std::int64_t low, std::int64_t high) {
  LIMBECK_CHECK(low <= high, "[rng] between needs low <= high, got [{}, {}]", low, high);
  const std::uint64_t count = static_cast<std::uint64_t>(high) - static_cast<std::uint64_t>(low) + 1;
  const std::uint64_t offset = count == 0 ? next_u64() : below(count);  // 0: all of int64
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(low) + offset);
}

bool Rng::bernoulli(double p) { return uniform() < p; }

double Rng::normal() {
  const double radius = std::sqrt(-2 * std::log(1 - uniform()));
  return radius * std::cos(2 * std::numbers::pi * uniform());
}

std::vector<std::int64_t> permutation(std::int64_t n, Rng& rng) {
  LIMBECK_CHECK(n >= 0, "[rng] permutation needs n >= 0, got {}", n);
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[rng.below(i)]);
  return order;
}

}  // namespace limbeck::core
