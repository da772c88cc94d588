#include "limbeck/data/prefetcher.h"

#include "limbeck/core/error.h"

#include <ATen/Parallel.h>
#include <cxxabi.h>
#include <omp.h>

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

Prefetcher::Prefetcher(int num_workers, int capacity) : slots_(static_cast<std::size_t>(capacity)) {
  LIMBECK_ASSERT(num_workers > 0 && capacity > 0, "[data] a prefetcher of {} workers and {} slots.", num_workers,
                 capacity);
  for (int i = 0; i < num_workers; ++i) {
    workers_.emplace_back([this](const std::stop_token& stop) { work(stop); });
  }
}

Prefetcher::~Prefetcher() {
  for (std::jthread& worker : workers_) worker.request_stop();
}

void Prefetcher::start(Make make, std::int64_t first, std::int64_t end) {
  const std::lock_guard lock(mutex_);
  ++generation_;
  make_ = std::make_shared<const Make>(std::move(make));
  for (Slot& one : slots_) one = {};
  next_ = due_ = first;
  end_ = end;
  work_.notify_all();
}

Batch Prefetcher::take() {
  std::unique_lock lock(mutex_);
  LIMBECK_ASSERT(due_ < end_, "[data] batch {} of {} was asked for.", due_, end_);
  Slot& due = slot(due_);
  ready_.wait(lock, [&] { return due.is_ready(); });
  if (due.error) std::rethrow_exception(due.error);
  Batch batch = std::move(*due.batch);
  due = {};
  ++due_;
  work_.notify_one();
  return batch;
}

void Prefetcher::work(const std::stop_token& stop) {
  confine_openmp_to_this_thread();
  const auto has_work = [this] { return next_ < end_ && next_ < due_ + static_cast<std::int64_t>(slots_.size()); };
  std::unique_lock lock(mutex_);
  while (work_.wait(lock, stop, has_work) && !stop.stop_requested()) {  // it waits no more, but there may be work
    const std::int64_t step = next_++;
    const std::uint64_t generation = generation_;
    auto make = make_;
    lock.unlock();
    Slot made;
    try {
      made.batch = (*make)(step);
    } catch (const abi::__forced_unwind&) {  // the thread was told to exit in there, and must
      made.error = std::make_exception_ptr(InternalError("[data] a worker thread was ended while it made a batch."));
      put(step, generation, std::move(made));
      throw;
    } catch (...) {  // carried to the consumer, who rethrows it
      made.error = std::current_exception();
    }
    make.reset();
    put(step, generation, std::move(made));
    lock.lock();
  }
}

void Prefetcher::put(std::int64_t step, std::uint64_t generation, Slot made) {
  const std::lock_guard lock(mutex_);
  if (generation != generation_) return;
  slot(step) = std::move(made);
  ready_.notify_one();
}

}  // namespace limbeck::data
