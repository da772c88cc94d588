#include "limbeck/core/machine.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <thread>

#include "limbeck/core/files/file.h"

namespace limbeck::core {
namespace {

// A root folder with the files that a test puts there.
class FakeRoot {
 public:
  FakeRoot& put(const std::string& path, std::string_view content) {
    core::create_directories((directory_.path() / path).parent_path());
    write_file(directory_.path() / path, content);
    return *this;
  }
  const std::filesystem::path& path() const { return directory_.path(); }

 private:
  TemporaryDirectory directory_;
};

constexpr std::string_view kMountV2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n";

TEST(Cgroup, FindsNothingWhereThereIsNothing) {
  const FakeRoot root;
  const CgroupLimits limits = read_cgroup_limits(root.path());
  EXPECT_EQ(limits.version, 0);
  EXPECT_FALSE(limits.cpu_quota.has_value());
  EXPECT_FALSE(limits.memory_bytes.has_value());
}

TEST(Cgroup, TakesTheTightestAncestorOfVersion2) {
  FakeRoot root;
  root.put("proc/self/mountinfo", kMountV2)
      .put("proc/self/cgroup", "0::/slice/app/inner\n")
      .put("sys/fs/cgroup/slice/cpu.max", "400000 100000\n")
      .put("sys/fs/cgroup/slice/memory.max", "4000000\n")
      .put("sys/fs/cgroup/slice/app/cpu.max", "150000 100000\n")
      .put("sys/fs/cgroup/slice/app/memory.max", "3000000\n")
      .put("sys/fs/cgroup/slice/app/memory.current", "1000000\n")
      .put("sys/fs/cgroup/slice/app/memory.stat", "anon 500000\ninactive_file 300000\n")
      .put("sys/fs/cgroup/slice/app/inner/cpu.max", "max 100000\n")
      .put("sys/fs/cgroup/slice/app/inner/memory.max", "max\n");
  const CgroupLimits limits = read_cgroup_limits(root.path());
  EXPECT_EQ(limits.version, 2);
  EXPECT_DOUBLE_EQ(limits.cpu_quota.value(), 1.5);
  EXPECT_EQ(limits.memory_bytes, 3'000'000u);
  EXPECT_EQ(limits.memory_used_bytes, 700'000u);
}

TEST(Cgroup, ReadsTheMountWhereANamespaceHidesTheGroup) {
  FakeRoot root;
  root.put("proc/self/mountinfo", kMountV2)
      .put("proc/self/cgroup", "0::/../../other\n")
      .put("sys/fs/cgroup/cpu.max", "200000 100000\n");
  EXPECT_DOUBLE_EQ(read_cgroup_limits(root.path()).cpu_quota.value(), 2.0);
}

TEST(Cgroup, ReadsVersion1WithMountsOfParts) {
  FakeRoot root;
  root.put("proc/self/mountinfo",
           "40 32 0:29 /docker/abc /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
           "41 32 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
           "42 32 0:33 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n")
      .put("proc/self/cgroup", "4:memory:/docker/abc\n3:cpuset:/x\n2:cpu,cpuacct:/docker/abc\n")
      .put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "300000\n")
      .put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n")
      .put("sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "9223372036854771712\n")
      .put("sys/fs/cgroup/memory/docker/memory.limit_in_bytes", "5000000\n")
      .put("sys/fs/cgroup/memory/docker/memory.usage_in_bytes", "2000000\n")
      .put("sys/fs/cgroup/memory/docker/memory.stat", "inactive_file 1\ntotal_inactive_file 500000\n");
  const CgroupLimits limits = read_cgroup_limits(root.path());
  EXPECT_EQ(limits.version, 1);
  EXPECT_DOUBLE_EQ(limits.cpu_quota.value(), 3.0);
  EXPECT_EQ(limits.memory_bytes, 5'000'000u);
  EXPECT_EQ(limits.memory_used_bytes, 1'500'000u);
}

TEST(Cgroup, SurvivesNonsense) {
  FakeRoot root;
  root.put("proc/self/mountinfo", "x - cgroup\n - cgroup2\n" + std::string(kMountV2))
      .put("proc/self/cgroup", "nonsense\n::\n0::/a\n")
      .put("sys/fs/cgroup/a/cpu.max", "-5 0\n")
      .put("sys/fs/cgroup/a/memory.max", "lots\n")
      .put("sys/fs/cgroup/cpu.max", "1\n");
  const CgroupLimits limits = read_cgroup_limits(root.path());
  EXPECT_FALSE(limits.cpu_quota.has_value());
  EXPECT_FALSE(limits.memory_bytes.has_value());
}

TEST(Memory, IsCutByTheGroupsLimit) {
  FakeRoot root;
  root.put("proc/meminfo", "MemTotal:  8000 kB\nMemFree: 10 kB\nMemAvailable:  6000 kB\n");
  Memory memory = read_memory(root.path());
  EXPECT_EQ(memory.total_bytes, 8000u * 1024);
  EXPECT_EQ(memory.limit_bytes, 8000u * 1024);
  EXPECT_EQ(memory.available_bytes, 6000u * 1024);
  root.put("proc/self/mountinfo", kMountV2)
      .put("proc/self/cgroup", "0::/\n")
      .put("sys/fs/cgroup/memory.max", "4096000\n")
      .put("sys/fs/cgroup/memory.current", "1096000\n");
  memory = read_memory(root.path());
  EXPECT_EQ(memory.total_bytes, 8000u * 1024);
  EXPECT_EQ(memory.limit_bytes, 4'096'000u);
  EXPECT_EQ(memory.available_bytes, 3'000'000u);
}

TEST(Caches, AreReadByLevelAndType) {
  FakeRoot root;
  const auto put = [&](int index, const char* level, const char* type, const char* size) {
    const std::string folder = "sys/devices/system/cpu/cpu3/cache/index" + std::to_string(index);
    root.put(folder + "/level", level).put(folder + "/type", type).put(folder + "/size", size);
  };
  put(0, "1\n", "Data\n", "48K\n");
  put(1, "1\n", "Instruction\n", "32K\n");
  put(2, "2\n", "Unified\n", "2M\n");
  put(3, "3\n", "Unified\n", "32768K\n");
  const CacheSizes sizes = read_cache_sizes(3, root.path());
  EXPECT_EQ(sizes.l1_bytes, 48u << 10);
  EXPECT_EQ(sizes.l2_bytes, 2u << 20);
  EXPECT_EQ(sizes.l3_bytes, 32u << 20);
  EXPECT_EQ(read_cache_sizes(0, root.path()).l2_bytes, 0u);
}

TEST(Cores, FollowAffinityAndQuota) {
  EXPECT_EQ(resolve_num_cores(8, std::nullopt), 8);
  EXPECT_EQ(resolve_num_cores(8, 2.9), 2);
  EXPECT_EQ(resolve_num_cores(8, 0.5), 1);
  EXPECT_EQ(resolve_num_cores(2, 16.0), 2);
  EXPECT_EQ(resolve_num_cores(0, std::nullopt), 1);
}

// In a thread of its own, so that the mask of the others stays.
TEST(Cores, FollowAChangedAffinityMask) {
  int num_cores = 0;
  std::thread([&] {
    cpu_set_t mask, one;
    ASSERT_EQ(sched_getaffinity(0, sizeof mask, &mask), 0);
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++cpu)
      if (CPU_ISSET(cpu, &mask)) CPU_SET(cpu, &one);
    ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    num_cores = num_usable_cores();
  }).join();
  EXPECT_EQ(num_cores, 1);
}

TEST(Machine, IsPlausible) {
  const Machine machine = read_machine();
  EXPECT_FALSE(machine.cpu_model.empty());
  EXPECT_GE(machine.num_logical_cores, machine.num_affinity_cores);
  EXPECT_GE(machine.num_affinity_cores, machine.num_physical_cores);
  EXPECT_GE(machine.num_affinity_cores, machine.num_usable_cores);
  EXPECT_GE(machine.num_usable_cores, 1);
  EXPECT_GT(machine.memory.total_bytes, 64u << 20);
  EXPECT_LE(machine.memory.available_bytes, machine.memory.limit_bytes);
  EXPECT_LE(machine.memory.limit_bytes, machine.memory.total_bytes);
}

}  // namespace
}  // namespace limbeck::core
