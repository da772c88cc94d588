// A limit on single allocations: while a guard lives, an operator new of this thread beyond its limit throws
// std::bad_alloc and is remembered. Linking the source replaces the global operator new with one that counts. Memory
// that does not come from operator new (malloc, at::empty) is not seen: run under ASan with max_allocation_size_mb for
// that.
#pragma once

#include <cstddef>

namespace limbeck::testing {

class AllocationGuard {
 public:
  explicit AllocationGuard(std::size_t max_bytes);
  ~AllocationGuard();
  AllocationGuard(const AllocationGuard&) = delete;
  AllocationGuard& operator=(const AllocationGuard&) = delete;

  /// The largest single request seen, also the refused one.
  std::size_t largest_bytes() const;
  bool is_exceeded() const;

 private:
  std::size_t previous_max_;
  std::size_t previous_largest_;
};

}  // namespace limbeck::testing
