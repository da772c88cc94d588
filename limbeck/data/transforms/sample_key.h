// The streams of random numbers that transforms draw their choices from.
#pragma once

#include "limbeck/core/rng.h"

#include <cstddef>
#include <cstdint>

namespace limbeck::data {

/// Names one showing of one sample.
struct SampleKey {
  std::uint64_t seed = 0;
  std::int64_t epoch = 0;
  std::int64_t sample = 0;
};

/// The stream of the transform at `place` in its list, for one showing of one sample: the same whoever loads it.
inline core::Rng stream(const SampleKey& key, std::size_t place) {
  return core::Rng({.seed = key.seed,
                    .epoch = static_cast<std::uint64_t>(key.epoch),
                    .sample = static_cast<std::uint64_t>(key.sample),
                    .transform = static_cast<std::uint32_t>(place)});
}

}  // namespace limbeck::data
