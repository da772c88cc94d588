// Worker threads that make numbered batches ahead of the one consumer, who takes them in order. At most `capacity`
// batches are made and not yet taken. Users meet it as Loader.
#pragma once

#include "limbeck/data/loader.h"

#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>

namespace limbeck::data {

class Prefetcher {
 public:
  /// Makes the batch of one step. Called from any worker, several at once.
  using Make = std::function<Batch(std::int64_t step)>;

  Prefetcher(int num_workers, int capacity);
  /// Stops the workers, all at once, and waits for the batches that they are at.
  ~Prefetcher();
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  /// Makes the steps [first, end) from now on; what is ready or under way is dropped.
  void start(Make make, std::int64_t first, std::int64_t end);

  /// Stops making; what is ready or under way is dropped.
  void cancel() { start({}, 0, 0); }

  /// Waits for the next step's batch and takes it. An exception of its making is rethrown, also on further calls.
  Batch take();

 private:
  struct Slot {
    std::optional<Batch> batch;
    std::exception_ptr error;

    bool is_ready() const { return batch.has_value() || error != nullptr; }
  };

  void work(const std::stop_token& stop);
  void put(std::int64_t step, std::uint64_t generation, Slot made);
  Slot& slot(std::int64_t step) { return slots_[static_cast<std::size_t>(step) % slots_.size()]; }

  std::mutex mutex_;
  std::condition_variable_any work_;  // a step may be made
  std::condition_variable ready_;     // a slot was filled
  std::vector<Slot> slots_;
  std::shared_ptr<const Make> make_;
  std::uint64_t generation_ = 0;  // counts starts: a batch of an earlier one is dropped
  std::int64_t next_ = 0;         // to be made
  std::int64_t due_ = 0;          // to be taken
  std::int64_t end_ = 0;
  std::vector<std::jthread> workers_;  // last: joined before what they use goes
};

}  // namespace limbeck::data
