// Cooperative stop. Long loops take a `const StopFlag*` in their options, poll it where they can save and return, and
// treat null as never. The program that owns the loop raises it, from a signal handler too: libraries install none.
#pragma once

#include <atomic>

namespace limbeck::core {

class StopFlag {
 public:
  /// Safe in signal handlers and from any thread.
  void request() noexcept { requested_.store(true, std::memory_order_relaxed); }
  void clear() noexcept { requested_.store(false, std::memory_order_relaxed); }
  bool is_requested() const noexcept { return requested_.load(std::memory_order_relaxed); }

 private:
  std::atomic<bool> requested_{false};
  static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler sets it");
};

/// Whether `flag` exists and was raised.
inline bool is_stop_requested(const StopFlag* flag) noexcept { return flag != nullptr && flag->is_requested(); }

}  // namespace limbeck::core
