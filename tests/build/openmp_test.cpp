// The build's promise about threads: one OpenMP runtime in the process, and own code that runs on all of its threads.
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <omp.h>

#include <fstream>
#include <mutex>
#include <set>
#include <string>
#include <thread>

namespace {

/// Paths of the mapped files of this process whose name contains `part`.
std::set<std::string> mapped_files(const std::string& part) {
  std::set<std::string> found;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    const auto slash = line.find('/');
    if (slash == std::string::npos) continue;
    const std::string path = line.substr(slash);
    if (path.find(part, path.rfind('/')) != std::string::npos) found.insert(path);
  }
  return found;
}

/// The threads on which at::parallel_for runs its body over `num_threads` chunks of one.
std::set<std::thread::id> threads_of_parallel_for(int num_threads) {
  std::set<std::thread::id> ids;
  std::mutex mutex;
  at::parallel_for(0, num_threads, 1, [&](int64_t, int64_t) {
    const std::lock_guard lock(mutex);
    ids.insert(std::this_thread::get_id());
  });
  return ids;
}

class Threads : public ::testing::Test {
 protected:
  void SetUp() override {
    saved_ = at::get_num_threads();
    at::set_num_threads(4);
  }
  void TearDown() override { at::set_num_threads(saved_); }

 private:
  int saved_ = 1;
};

TEST(OpenMp, OneRuntimeIsMapped) {
  at::get_num_threads();  // libtorch is really linked, not dropped as unused
  ASSERT_EQ(mapped_files("libtorch_cpu.so").size(), 1u);
  const auto gnu = mapped_files("libgomp");
  const auto intel = mapped_files("libiomp5");
  const auto llvm = mapped_files("libomp");
  EXPECT_EQ(gnu.size() + intel.size() + llvm.size(), 1u) << ::testing::PrintToString(gnu);
}

TEST_F(Threads, ParallelForUsesAllOfThem) { EXPECT_EQ(threads_of_parallel_for(4).size(), 4u); }

TEST_F(Threads, OwnRegionsObeyTheNumberSetInLibtorch) {
  int num_threads = 0;
#pragma omp parallel
  {
#pragma omp single
    num_threads = omp_get_num_threads();
  }
  EXPECT_EQ(num_threads, 4);
}

/// Two runtimes would have two teams; libtorch's and our own region must run on the same threads.
TEST_F(Threads, OwnRegionsAndLibtorchShareOneTeam) {
  const auto libtorch = threads_of_parallel_for(4);
  std::set<std::thread::id> own;
  std::mutex mutex;
#pragma omp parallel
  {
    const std::lock_guard lock(mutex);
    own.insert(std::this_thread::get_id());
  }
  EXPECT_EQ(own, libtorch);
}

}  // namespace
