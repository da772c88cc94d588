#include "limbeck/train/optim/element_jobs.h"

#include <ATen/Parallel.h>

#include <algorithm>
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
  if (num_elements_ == 0) return;
  at::parallel_for(0, num_elements_, 2 * kChunk,
                   [this](int64_t begin, int64_t end) { run_chunks_starting_in(begin, end); });
  jobs_.clear();
  num_elements_ = 0;
}

}  // namespace limbeck::train
