#include "limbeck/model/caching_allocator.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <pthread.h>
#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <iterator>
#include <list>
#include <map>
#include <mutex>
#include <new>
#include <string_view>
#include <unordered_set>

namespace limbeck {

namespace {

/// Below it the C library keeps freed memory itself (its largest threshold for the system's own pages is 32 MiB, but it
/// starts at 128 KiB).
constexpr std::size_t kSmallestCached = std::size_t{256} << 10;
constexpr std::size_t kHugePage = std::size_t{2} << 20;
/// What libtorch promises of its tensors (c10/core/alignment.h); a block's header takes as much.
constexpr std::size_t kAlignment = 64;

/// Stands before the memory that a tensor sees.
struct alignas(kAlignment) Header {
  std::size_t capacity = 0;  // of what follows
};

Header* header_of(void* data) { return static_cast<Header*>(data) - 1; }

/// Null where the system has none.
void* system_block(std::size_t capacity) {
  const std::size_t bytes = capacity + sizeof(Header);
  void* base = nullptr;
  const bool is_huge = bytes >= kHugePage;
  if (posix_memalign(&base, is_huge ? kHugePage : kAlignment, bytes) != 0) return nullptr;
  if (is_huge) madvise(base, bytes, MADV_HUGEPAGE);  // a hint: where it is refused, ordinary pages do
  return new (base) Header{.capacity = capacity} + 1;
}

void free_system_block(void* data) { std::free(header_of(data)); }

/// Free blocks by capacity, and by age. Guarded by its mutex, which forking processes take, too.
class Cache {
 public:
  static Cache& instance() {
    static Cache* const cache = new Cache;  // outlives all tensors
    return *cache;
  }

  /// Null outside all scopes, and where the system has no more even after all that is kept went back to it.
  void* allocate(std::size_t bytes) {
    const std::size_t capacity = cached_capacity(bytes);
    {
      const std::lock_guard lock(mutex_);
      if (num_scopes_ == 0) return nullptr;
      if (void* kept = take(capacity)) return hand_out(kept, capacity);
      ++memory_.misses;
      shrink(memory_.live_bytes + capacity);
    }
    void* fresh = system_block(capacity);
    if (fresh == nullptr) {
      drop_all();
      fresh = system_block(capacity);
    }
    const std::lock_guard lock(mutex_);
    return fresh == nullptr ? nullptr : hand_out(fresh, capacity);
  }

  /// Whether a tensor holds this block, and not one of the fallback.
  bool is_live(void* data) {
    const std::lock_guard lock(mutex_);
    return live_.contains(data);
  }

  void free(void* data) {
    const std::size_t capacity = header_of(data)->capacity;
    const std::lock_guard lock(mutex_);
    live_.erase(data);
    memory_.live_bytes -= capacity;
    if (num_scopes_ == 0) return free_system_block(data);
    blocks_.push_back(data);
    by_capacity_.emplace(capacity, std::prev(blocks_.end()));
    memory_.cached_bytes += capacity;
  }

  void enter(c10::Allocator* own) {
    const std::lock_guard lock(mutex_);
    if (num_scopes_++ > 0) return;
    peak_bytes_ = memory_.live_bytes;
    if (c10::GetCPUAllocator() == own) return;
    previous_ = c10::GetCPUAllocator();
    c10::SetCPUAllocator(own);
  }

  /// The allocator stays: memory that was handed out by a bare pointer comes back to whichever allocator is set then.
  void leave() {
    const std::lock_guard lock(mutex_);
    if (--num_scopes_ > 0) return;
    while (!blocks_.empty()) drop_oldest();
  }

  c10::Allocator& fallback() const { return *previous_; }

  CachedMemory memory() {
    const std::lock_guard lock(mutex_);
    return memory_;
  }

 private:
  Cache() {
    pthread_atfork([] { instance().mutex_.lock(); }, [] { instance().mutex_.unlock(); },
                   [] { instance().mutex_.unlock(); });
  }

  /// The block of this capacity that was freed last: the likeliest to be in a cache of the processor still.
  void* take(std::size_t capacity) {
    auto found = by_capacity_.upper_bound(capacity);
    if (found == by_capacity_.begin() || std::prev(found)->first != capacity) return nullptr;
    --found;
    void* data = *found->second;
    blocks_.erase(found->second);
    by_capacity_.erase(found);
    memory_.cached_bytes -= capacity;
    ++memory_.hits;
    return data;
  }

  void* hand_out(void* data, std::size_t capacity) {
    live_.insert(data);
    memory_.live_bytes += capacity;
    peak_bytes_ = std::max(peak_bytes_, memory_.live_bytes);
    return data;
  }

  /// Makes room for what will be live.
  void shrink(std::size_t live_bytes) {
    const std::size_t peak = std::max(peak_bytes_, live_bytes);
    while (!blocks_.empty() && live_bytes + memory_.cached_bytes > peak + peak / 4) drop_oldest();
  }

  void drop_all() {
    const std::lock_guard lock(mutex_);
    while (!blocks_.empty()) drop_oldest();
  }

  void drop_oldest() {
    void* data = blocks_.front();
    const std::size_t capacity = header_of(data)->capacity;
    auto entry = by_capacity_.lower_bound(capacity);
    while (*entry->second != data) ++entry;
    by_capacity_.erase(entry);
    blocks_.pop_front();
    memory_.cached_bytes -= capacity;
    free_system_block(data);
  }

  std::mutex mutex_;
  std::list<void*> blocks_;  // the oldest first
  std::multimap<std::size_t, std::list<void*>::iterator> by_capacity_;
  std::unordered_set<void*> live_;
  CachedMemory memory_;
  std::size_t peak_bytes_ = 0;
  int num_scopes_ = 0;
  c10::Allocator* previous_ = nullptr;
};

void free_block(void* data) {
  if (data == nullptr) return;
  c10::profiledCPUMemoryReporter().Delete(data);
  Cache::instance().free(data);
}

/// Of either size: oneDNN's scratch memory comes and goes by bare pointers.
void free_raw(void* data) {
  if (data == nullptr) return;
  if (Cache::instance().is_live(data)) return free_block(data);
  Cache::instance().fallback().raw_deleter()(data);
}

class CachingAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(std::size_t bytes) override {
    void* data = bytes < kSmallestCached ? nullptr : Cache::instance().allocate(bytes);
    if (data == nullptr) return Cache::instance().fallback().allocate(bytes);  // or its error, which users know
    c10::profiledCPUMemoryReporter().New(data, bytes);
    return {data, data, &free_block, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &free_raw; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override { default_copy_data(to, from, bytes); }
};

bool is_wanted() {
  const char* setting = std::getenv("LIMBECK_CACHING_ALLOCATOR");
  return setting == nullptr || std::string_view(setting) != "0";
}

}  // namespace

std::size_t cached_capacity(std::size_t bytes) {
  const std::size_t step = std::max(std::bit_floor(bytes) / 8, kAlignment);
  return (bytes + step - 1) / step * step;
}

CachingAllocatorScope::CachingAllocatorScope() : is_on_(is_wanted()) {
  static auto* const allocator = new CachingAllocator;  // outlives all tensors
  if (is_on_) Cache::instance().enter(allocator);
}

CachingAllocatorScope::~CachingAllocatorScope() {
  if (is_on_) Cache::instance().leave();
}

CachedMemory CachingAllocatorScope::memory() { return Cache::instance().memory(); }

}  // namespace limbeck
