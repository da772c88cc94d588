#include "tests/support/allocation_guard.h"

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <new>

namespace {

constexpr std::size_t kNoLimit = std::numeric_limits<std::size_t>::max();

thread_local std::size_t max_bytes = kNoLimit;
thread_local std::size_t largest_bytes = 0;

void* allocate(std::size_t bytes, std::size_t alignment) {
  largest_bytes = std::max(largest_bytes, bytes);
  if (bytes > max_bytes) throw std::bad_alloc();
  void* memory = nullptr;
  if (alignment <= alignof(std::max_align_t))
    memory = std::malloc(std::max<std::size_t>(bytes, 1));
  else if (posix_memalign(&memory, alignment, bytes) != 0)
    memory = nullptr;
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

void* operator new(std::size_t bytes) { return allocate(bytes, 1); }
void* operator new[](std::size_t bytes) { return allocate(bytes, 1); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return allocate(bytes, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t bytes, std::align_val_t alignment) {
  return allocate(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

namespace limbeck::testing {

AllocationGuard::AllocationGuard(std::size_t limit) : previous_max_(max_bytes), previous_largest_(::largest_bytes) {
  max_bytes = limit;
  ::largest_bytes = 0;
}

AllocationGuard::~AllocationGuard() {
  max_bytes = previous_max_;
  ::largest_bytes = std::max(::largest_bytes, previous_largest_);
}

std::size_t AllocationGuard::largest_bytes() const { return ::largest_bytes; }

bool AllocationGuard::is_exceeded() const { return ::largest_bytes > max_bytes; }

}  // namespace limbeck::testing
