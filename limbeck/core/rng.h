// Counter-based random numbers: Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel Random Numbers: As Easy as
// 1, 2, 3" (SC 2011). A stream is named by (seed, epoch, sample, transform), so that the numbers that a sample's
// augmentation sees depend on nothing else: not on workers, order, resume or what was drawn before. Streams of
// different keys never overlap, since the key's parts and the position are the generator's key and counter themselves.
// Integers and uniforms are the same bits everywhere; normal() uses the C library's log and cos.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace limbeck::core {

using PhiloxCounter = std::array<std::uint32_t, 4>;
using PhiloxKey = std::array<std::uint32_t, 2>;

/// The bijection itself: ten rounds.
PhiloxCounter philox4x32_10(PhiloxCounter counter, PhiloxKey key);

/// The name of a stream.
struct RngKey {
  std::uint64_t seed = 0;
  std::uint64_t epoch = 0;      // < 2^32
  std::uint64_t sample = 0;     // < 2^48
  std::uint32_t transform = 0;  // < 2^16
};

/// A stream of random numbers: 48 bytes, copied by value; a copy continues on its own from the same position. A stream
/// has 2^34 words and throws InternalError past them.
class Rng {
 public:
  /// Throws InvalidArgument if a part of the key is out of its range.
  explicit Rng(const RngKey& key);

  std::uint32_t next_u32();
  std::uint64_t next_u64();

  /// Uniform in [0, 1): 53 (24) random bits.
  double uniform();
  float uniform_float();

  /// Uniform in [low, high). Throws InvalidArgument unless low <= high and both are finite.
  double uniform(double low, double high);

  /// Uniform in [0, n) without modulo bias (Lemire 2019, arXiv:1805.10941). Throws InvalidArgument for n = 0.
  std::uint64_t below(std::uint64_t n);

  /// Uniform in [low, high], both included. Throws InvalidArgument if low > high.
  std::int64_t between(std::int64_t low, std::int64_t high);

  /// True with probability p (clamped to [0, 1]).
  bool bernoulli(double p);

  /// Standard normal by Box and Muller; draws four words and keeps nothing, so position stays a function of calls.
  double normal();

  /// Words drawn so far, and a jump to a position: a stream is restored from its key and its position.
  std::uint64_t position() const { return position_; }
  void seek(std::uint64_t position);

 private:
  PhiloxKey key_;
  PhiloxCounter counter_;  // [0] counts blocks of four words
  PhiloxCounter block_{};
  std::uint64_t position_ = 0;
};

/// A random order of 0..n-1 by Fisher and Yates, drawn from `rng`. n >= 0.
std::vector<std::int64_t> permutation(std::int64_t n, Rng& rng);

}  // namespace limbeck::core
