#include "limbeck/model/caching_allocator.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/CPUAllocator.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

namespace limbeck {
namespace {

constexpr int64_t kLarge = 1 << 20;  // floats: 4 MiB

TEST(CachingAllocator, RoundsUpByAtMostAnEighth) {
  for (std::size_t bytes = 256 << 10; bytes < std::size_t{1} << 40; bytes = bytes * 9 / 8 + 1) {
    const std::size_t capacity = cached_capacity(bytes);
    EXPECT_GE(capacity, bytes);
    EXPECT_LE(capacity - bytes, bytes / 8);
    EXPECT_EQ(cached_capacity(capacity), capacity);
  }
}

TEST(CachingAllocator, GivesFreedMemoryToTheNextTensorOfItsSize) {
  const CachingAllocatorScope scope;
  const void* first = at::empty({kLarge}).data_ptr();
  const CachedMemory before = CachingAllocatorScope::memory();
  EXPECT_GE(before.cached_bytes, kLarge * sizeof(float));
  const at::Tensor again = at::empty({kLarge});
  EXPECT_EQ(again.data_ptr(), first);
  const CachedMemory after = CachingAllocatorScope::memory();
  EXPECT_EQ(after.hits, before.hits + 1);
  EXPECT_EQ(after.cached_bytes, before.cached_bytes - cached_capacity(kLarge * sizeof(float)));
}

TEST(CachingAllocator, AlignsAsLibtorchDoes) {
  const CachingAllocatorScope scope;
  for (int64_t size = 65'536; size < 3'000'000; size = size * 3 / 2 + 1) {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(at::empty({size}).data_ptr()) % 64, 0u) << size;
  }
}

TEST(CachingAllocator, KeepsNoMoreThanAQuarterAboveThePeak) {
  const CachingAllocatorScope scope;
  const std::size_t live_before = CachingAllocatorScope::memory().live_bytes;
  std::size_t peak = 0;
  for (int64_t size = kLarge; size < 12 * kLarge; size += kLarge / 2 + 7'000) {  // no size fits another
    const at::Tensor tensor = at::empty({size});
    const CachedMemory memory = CachingAllocatorScope::memory();
    peak = std::max(peak, memory.live_bytes);
    EXPECT_LE(memory.live_bytes + memory.cached_bytes, peak + peak / 4);
  }
  EXPECT_EQ(CachingAllocatorScope::memory().live_bytes, live_before);
}

TEST(CachingAllocator, ReturnsWhatItKeptAndKeepsNothingOutsideScopes) {
  at::Tensor survivor;
  {
    const CachingAllocatorScope outer;
    {
      const CachingAllocatorScope inner;
      at::empty({kLarge});
    }
    EXPECT_GT(CachingAllocatorScope::memory().cached_bytes, 0u);
    survivor = at::full({kLarge}, 3.0);
  }
  EXPECT_EQ(CachingAllocatorScope::memory().cached_bytes, 0u);
  EXPECT_EQ(survivor.sum().item<double>(), 3.0 * kLarge);
  const std::size_t live = CachingAllocatorScope::memory().live_bytes;
  survivor.reset();
  EXPECT_LT(CachingAllocatorScope::memory().live_bytes, live);
  at::empty({kLarge});
  EXPECT_EQ(CachingAllocatorScope::memory().cached_bytes, 0u);
}

TEST(CachingAllocator, OutlivesItsScopesForBarePointers) {
  void* left = nullptr;
  const std::size_t before = CachingAllocatorScope::memory().live_bytes;
  {
    const CachingAllocatorScope scope;
    left = c10::GetCPUAllocator()->raw_allocate(kLarge * sizeof(float));
    EXPECT_GT(CachingAllocatorScope::memory().live_bytes, before);
  }
  c10::GetCPUAllocator()->raw_deallocate(left);
  EXPECT_EQ(CachingAllocatorScope::memory().live_bytes, before);
}

TEST(CachingAllocator, LeavesARefusedRequestToLibtorchAndCountsNothing) {
  const CachingAllocatorScope scope;
  at::empty({kLarge});
  const CachedMemory before = CachingAllocatorScope::memory();
  EXPECT_GT(before.cached_bytes, 0u);
  try {
    at::empty({int64_t{1} << 60});
    FAIL() << "no machine has that much";
  } catch (const c10::Error& error) {
    EXPECT_NE(std::string(error.what()).find("allocate"), std::string::npos) << error.what();
  }
  const CachedMemory after = CachingAllocatorScope::memory();
  EXPECT_EQ(after.live_bytes, before.live_bytes);
  EXPECT_EQ(after.cached_bytes, 0u);  // what was kept was given up for it
  const at::Tensor again = at::ones({kLarge});
  EXPECT_EQ(again.sum().item<double>(), kLarge);
  for (int64_t size = kLarge; size < 8 * kLarge; size += kLarge / 2 + 7'000) at::empty({size});
  EXPECT_LE(CachingAllocatorScope::memory().cached_bytes, 16 * kLarge * sizeof(float));  // the bound still holds
}

TEST(CachingAllocator, GrowsTensorsInPlaceOfTheirStorage) {
  const CachingAllocatorScope scope;
  at::Tensor tensor = at::arange(kLarge, at::kFloat);
  tensor.resize_({3 * kLarge});
  EXPECT_TRUE(at::equal(tensor.slice(0, 0, kLarge), at::arange(kLarge, at::kFloat)));
}

TEST(CachingAllocator, ServesSeveralThreads) {
  const CachingAllocatorScope scope;
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (int id = 0; id < 4; ++id) {
    threads.emplace_back([id, &wrong] {
      for (int round = 0; round < 50; ++round) {
        const at::Tensor tensor = at::full({100'000 + 1000 * round}, id, at::kInt);
        if (!at::all(tensor == id).item<bool>()) ++wrong[static_cast<std::size_t>(id)];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

TEST(CachingAllocator, WorksInAForkedProcess) {
  const CachingAllocatorScope scope;
  const at::Tensor parent = at::ones({kLarge});
  const pid_t child = fork();
  if (child == 0) {
    at::Tensor own = at::empty({kLarge});
    own.mutable_data_ptr<float>()[0] = 0;  // a kernel would wait for threads that a child does not have
    _exit(own.data_ptr() != parent.data_ptr() ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  EXPECT_EQ(parent.sum().item<double>(), kLarge);
}

TEST(CachingAllocator, TakesBarePointersOfBothSizesBack) {
  const CachingAllocatorScope scope;
  c10::Allocator& allocator = *c10::GetCPUAllocator();
  const std::size_t live = CachingAllocatorScope::memory().live_bytes;
  for (const std::size_t bytes : {std::size_t{64}, kLarge * sizeof(float)}) {
    void* data = allocator.raw_allocate(bytes);
    allocator.raw_deallocate(data);
  }
  EXPECT_EQ(CachingAllocatorScope::memory().live_bytes, live);
  const at::Tensor x = at::ones({2, 8, 64, 64}).contiguous(at::MemoryFormat::ChannelsLast);
  EXPECT_EQ(at::conv2d(x, at::ones({8, 8, 3, 3})).sum().item<double>(), 2 * 8 * 62 * 62 * 72.0);
}

TEST(CachingAllocator, IsOffWhereTheEnvironmentSaysSo) {
  setenv("LIMBECK_CACHING_ALLOCATOR", "0", 1);
  {
    const CachingAllocatorScope scope;
    at::empty({kLarge});
    EXPECT_EQ(CachingAllocatorScope::memory().cached_bytes, 0u);
  }
  unsetenv("LIMBECK_CACHING_ALLOCATOR");
}

}  // namespace
}  // namespace limbeck
