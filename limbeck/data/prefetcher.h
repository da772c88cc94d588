// Worker threads that make numbered batches ahead of the one consumer, who takes them in order. At most `capacity`
// batches are made and not yet taken. Users meet it as Loader.
//
// A fork of the process has the object and not its threads: there it can be asked is_orphan() and destroyed, no more.
#pragma once

#include "limbeck/data/loader.h"

#include <sys/types.h>

#include <functional>
#include <memory>
#include <thread>
#include <vector>

namespace limbeck::data {

class Prefetcher {
 public:
  /// Makes the batch of one step. Called from any worker, several at once.
  using Make = std::function<Batch(std::int64_t step)>;

  Prefetcher(int num_workers, int capacity);
  /// Stops the workers, all at once, and waits for the batches that they are at. An orphan's memory is given up.
  ~Prefetcher();
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  /// Whether this process is a fork of the one whose threads the workers are.
  bool is_orphan() const;

  /// Makes the steps [first, end) from now on; what is ready or under way is dropped.
  void start(Make make, std::int64_t first, std::int64_t end);

  /// Stops making; what is ready or under way is dropped.
  void cancel() { start({}, 0, 0); }

  /// Waits for the next step's batch and takes it. An exception of its making is rethrown, also on further calls.
  Batch take();

 private:
  struct Queue;

  std::unique_ptr<Queue> queue_;
  std::vector<std::jthread> workers_;  // last: joined before what they use goes
  pid_t process_;
};

}  // namespace limbeck::data
