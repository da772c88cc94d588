// Work on the elements of many tensors as one parallel region, balanced by elements, so that a hundred small tensors
// cost one fork and join. Threads take pieces as they come; tensors are cut into chunks at fixed places, so that
// results never depend on the number of threads.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace limbeck::train {

class ElementJobs {
 public:
  /// Elements of a chunk: 64 KiB of each float32 array, so that what a chunk touches stays in a core's L2 cache.
  static constexpr int64_t kChunk = 16384;

  /// Elements begin to end of one job, the index-th of its chunks.
  struct Chunk {
    int64_t begin = 0, end = 0, index = 0;
  };
  static int64_t num_chunks(int64_t numel) { return (numel + kChunk - 1) / kChunk; }

  /// `work` is called for each chunk of [0, numel), from any thread.
  void add(int64_t numel, std::function<void(const Chunk&)> work);

  /// Runs all that was added, and forgets it.
  void run();

 private:
  struct Job {
    int64_t first_element = 0;  // among those of all jobs
    int64_t numel = 0;
    std::function<void(const Chunk&)> work;
  };
  void run_chunks_starting_in(int64_t begin, int64_t end) const;

  std::vector<Job> jobs_;
  int64_t num_elements_ = 0;
};

}  // namespace limbeck::train
