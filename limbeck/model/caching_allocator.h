// Memory of tensors kept for the next step. A training step makes and frees the same large tensors again and again; the
// C library gives each back to the system, which then clears its pages anew: a tenth to a fifth of a step on CPUs.
#pragma once

#include <cstddef>
#include <cstdint>

namespace limbeck {

/// What the allocator holds now, and what became of the requests that it was asked; all in bytes or numbers of blocks.
struct CachedMemory {
  std::size_t live_bytes = 0;    // of tensors that exist
  std::size_t cached_bytes = 0;  // kept for later ones
  std::uint64_t hits = 0;        // requests served from what was kept
  std::uint64_t misses = 0;      // requests that went to the system
};

/// RAII: while one such scope exists, freed CPU tensors of 256 KiB and more are kept for later ones of about their
/// size, in huge pages where the system has them. What is live and kept together stays below 1.25 times the most that
/// was live at once; at the end of the last scope what is kept goes back to the system. Tensors may outlive the scope.
/// The first scope exchanges libtorch's CPU allocator for the process, as c10::SetCPUAllocator does, while no other
/// thread may make tensors; outside all scopes the exchanged one hands every request on to libtorch's. Where the system
/// has no memory, libtorch's error says so. LIMBECK_CACHING_ALLOCATOR=0 in the environment turns it off.
class CachingAllocatorScope {
 public:
  CachingAllocatorScope();
  ~CachingAllocatorScope();
  CachingAllocatorScope(const CachingAllocatorScope&) = delete;
  CachingAllocatorScope& operator=(const CachingAllocatorScope&) = delete;

  static CachedMemory memory();

 private:
  bool is_on_;
};

/// The capacity that serves a request of `bytes`: at most an eighth more, one of eight sizes for each power of two.
std::size_t cached_capacity(std::size_t bytes);

}  // namespace limbeck
