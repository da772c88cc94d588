#include "limbeck/train/optim/kernels/element_jobs.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <utility>

namespace limbeck::train {

void ElementJobs::add(int64_t numel, std::function<void(const Chunk&)> work) {
  if (numel == 0) return;
  jobs_.push_back({.first_element = num_elements_, .numel = numel, .work = std::move(work)});
  num_elements_ += numel;
}

void ElementJobs::run_chunks_starting_in(int64_t begin, int64_t end) const {
  auto job = std::upper_bound(jobs_.begin(), jobs_.end(), begin,
                              [](int64_t element, const Job& other) { return element < other.first_element; }) -
             1;
  int64_t index = num_chunks(begin - job->first_element);  // the first chunk that starts at `begin` or after it
  for (; job != jobs_.end() && job->first_element < end; ++job, index = 0) {
    const int64_t chunks = num_chunks(job->numel);
    for (; index < chunks && job->first_element + index * kChunk < end; ++index) {
      const int64_t first = index * kChunk;
      job->work({.begin = first, .end = std::min(first + kChunk, job->numel), .index = index});
    }
  }
}

void ElementJobs::run() {
  const int64_t num_tasks = num_chunks(num_elements_);
  // Taken one by one, so that a thread that other processes keep from its core holds nobody up.
  std::atomic<int64_t> next_task{0};
  const auto take_tasks = [&](int64_t, int64_t) {
    for (int64_t task = next_task++; task < num_tasks; task = next_task++)
      run_chunks_starting_in(task * kChunk, std::min((task + 1) * kChunk, num_elements_));
  };
  const int64_t num_threads = std::min<int64_t>(at::get_num_threads(), (num_tasks + 1) / 2);
  if (num_threads > 0) at::parallel_for(0, num_threads, 1, take_tasks);
  jobs_.clear();
  num_elements_ = 0;
}

}  // namespace limbeck::train
