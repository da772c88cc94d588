// Deterministic mutations of valid files, for the fuzz tests of readers: bit flips, byte sets, truncation, duplication,
// insertion, deletion, swaps and edits of what looks like a length. A reader must answer each with a value or with an
// Error, within an allocation limit, and nothing else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace limbeck::testing {

/// Iterations of a fuzz test: LIMBECK_FUZZ_ITERATIONS, else `fallback`.
int fuzz_iterations(int fallback = 2000);

/// The mutation number `iteration` of `original`: one to eight edits. The same arguments give the same bytes
/// everywhere. The result is at most 64 KiB longer than the original.
std::string mutate(std::string_view original, std::uint64_t seed, std::uint64_t iteration);

struct FuzzOptions {
  std::uint64_t seed = 1;
  int iterations = fuzz_iterations();
  std::size_t max_allocation_bytes = std::size_t{16} << 20;  // no single allocation by operator new beyond it
};

/// What became of the inputs. A fuzz test asserts that both are above zero, else it tests only one side of the reader.
struct FuzzCounts {
  int accepted = 0;
  int refused = 0;  // limbeck::Error
};

/// Calls `read` on mutations of `original`. Any exception but limbeck::Error, and any single allocation beyond the
/// limit, is a test failure that names seed and iteration and stops the run.
FuzzCounts fuzz_reader(std::string_view original, const std::function<void(const std::string&)>& read,
                       const FuzzOptions& options = {});

}  // namespace limbeck::testing
