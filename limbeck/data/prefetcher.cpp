#include "limbeck/data/prefetcher.h"

#include "limbeck/core/error.h"

#include <ATen/Parallel.h>
#include <cxxabi.h>
#include <omp.h>
#include <unistd.h>

#include <condition_variable>
#include <exception>
#include <mutex>
#include <utility>

namespace limbeck::data {
namespace {

// ATen's operators, should a dataset use any, must run on the worker alone: a parallel region entered here would start
// a second OpenMP team beside the main thread's. The setting is the calling thread's; ATen must have made its own
// first.
void confine_openmp_to_this_thread() {
  at::get_num_threads();
  omp_set_num_threads(1);
}

}  // namespace

/// Between the consumer and the workers.
struct Prefetcher::Queue {
  explicit Queue(int capacity) : slots(static_cast<std::size_t>(capacity)) {}

  struct Slot {
    std::optional<Batch> batch;
    std::exception_ptr error;

    bool is_ready() const { return batch.has_value() || error != nullptr; }
  };

  void work(const std::stop_token& stop);
  void put(std::int64_t step, std::uint64_t of_generation, Slot made);
  Slot& slot(std::int64_t step) { return slots[static_cast<std::size_t>(step) % slots.size()]; }

  std::mutex mutex;
  std::condition_variable_any may_work;  // a step may be made
  std::condition_variable ready;         // a slot was filled
  std::vector<Slot> slots;
  std::shared_ptr<const Make> make;
  std::uint64_t generation = 0;  // counts starts: a batch of an earlier one is dropped
  std::int64_t next = 0;         // to be made
  std::int64_t due = 0;          // to be taken
  std::int64_t end = 0;
};

Prefetcher::Prefetcher(int num_workers, int capacity) : process_(::getpid()) {
  LIMBECK_ASSERT(num_workers > 0 && capacity > 0, "[data] a prefetcher of {} workers and {} slots.", num_workers,
                 capacity);
  queue_ = std::make_unique<Queue>(capacity);
  for (int i = 0; i < num_workers; ++i) {
    workers_.emplace_back([queue = queue_.get()](const std::stop_token& stop) { queue->work(stop); });
  }
}

Prefetcher::~Prefetcher() {
  if (is_orphan()) {
    // Nobody will ever leave what the threads of the other process wait for or hold: ending it would wait for them.
    static_cast<void>(queue_.release());
    static_cast<void>(new std::vector<std::jthread>(std::move(workers_)));
    return;
  }
  for (std::jthread& worker : workers_) worker.request_stop();
}

bool Prefetcher::is_orphan() const { return ::getpid() != process_; }

void Prefetcher::start(Make make, std::int64_t first, std::int64_t end) {
  Queue& queue = *queue_;
  const std::lock_guard lock(queue.mutex);
  ++queue.generation;
  queue.make = std::make_shared<const Make>(std::move(make));
  for (Queue::Slot& one : queue.slots) one = {};
  queue.next = queue.due = first;
  queue.end = end;
  queue.may_work.notify_all();
}

Batch Prefetcher::take() {
  Queue& queue = *queue_;
  std::unique_lock lock(queue.mutex);
  LIMBECK_ASSERT(queue.due < queue.end, "[data] batch {} of {} was asked for.", queue.due, queue.end);
  Queue::Slot& due = queue.slot(queue.due);
  queue.ready.wait(lock, [&] { return due.is_ready(); });
  if (due.error) std::rethrow_exception(due.error);
  Batch batch = std::move(*due.batch);
  due = {};
  ++queue.due;
  queue.may_work.notify_one();
  return batch;
}

void Prefetcher::Queue::work(const std::stop_token& stop) {
  confine_openmp_to_this_thread();
  const auto has_work = [this] { return next < end && next < due + static_cast<std::int64_t>(slots.size()); };
  std::unique_lock lock(mutex);
  while (may_work.wait(lock, stop, has_work) && !stop.stop_requested()) {  // it waits no more, but there may be work
    const std::int64_t step = next++;
    const std::uint64_t of_generation = generation;
    auto make_batch = make;
    lock.unlock();
    Slot made;
    try {
      made.batch = (*make_batch)(step);
    } catch (const abi::__forced_unwind&) {  // the thread was told to exit in there, and must
      made.error = std::make_exception_ptr(InternalError("[data] a worker thread was ended while it made a batch."));
      put(step, of_generation, std::move(made));
      throw;
    } catch (...) {  // carried to the consumer, who rethrows it
      made.error = std::current_exception();
    }
    make_batch.reset();
    put(step, of_generation, std::move(made));
    lock.lock();
  }
}

void Prefetcher::Queue::put(std::int64_t step, std::uint64_t of_generation, Slot made) {
  const std::lock_guard lock(mutex);
  if (of_generation != generation) return;
  slot(step) = std::move(made);
  ready.notify_one();
}

}  // namespace limbeck::data
