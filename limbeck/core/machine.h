// The machine as this process may use it: cores after affinity and cgroup quota, caches, memory after cgroup limits.
// Reports print it and sessions choose threads by it. Everything is read below a root folder ("/" in production), so
// that container layouts (cgroup v1, v2, hybrid, nested) are tested from folders of text files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace limbeck::core {

/// Limits of the process's control groups, the tightest of the group and its ancestors; unset where unlimited.
struct CgroupLimits {
  int version = 0;                                 // 0: none found, 1 or 2
  std::optional<double> cpu_quota;                 // in cores, e.g. 1.5
  std::optional<std::uint64_t> memory_bytes;       // the hard limit
  std::optional<std::uint64_t> memory_used_bytes;  // of the group whose limit is the tightest
};
CgroupLimits read_cgroup_limits(const std::filesystem::path& root = "/");

/// Data cache sizes seen by one core, in bytes; 0 where unknown. L3 is the whole of one shared slice.
struct CacheSizes {
  std::uint64_t l1_bytes = 0;
  std::uint64_t l2_bytes = 0;
  std::uint64_t l3_bytes = 0;
};
CacheSizes read_cache_sizes(int cpu = 0, const std::filesystem::path& root = "/");

struct Memory {
  std::uint64_t total_bytes = 0;      // of the machine
  std::uint64_t limit_bytes = 0;      // what this process may use: total or the cgroup's limit
  std::uint64_t available_bytes = 0;  // what it may still take: MemAvailable or what the cgroup's limit leaves
};
Memory read_memory(const std::filesystem::path& root = "/");

/// Threads worth starting: cores in the affinity mask, cut by the quota rounded down (a team that meets at barriers is
/// throttled as a whole when it outruns its quota), at least 1.
int resolve_num_cores(int num_affinity, std::optional<double> cpu_quota);

/// resolve_num_cores for this process now; affinity and quota may change while it runs.
int num_usable_cores();

struct Machine {
  std::string cpu_model;       // as the kernel names it, for reports only
  int num_logical_cores = 0;   // online
  int num_affinity_cores = 0;  // in this process's affinity mask
  int num_physical_cores = 0;  // distinct cores behind the affinity mask (hyper-threads counted once)
  int num_usable_cores = 0;
  CgroupLimits cgroup;
  CacheSizes caches;
  Memory memory;
};
Machine read_machine();

}  // namespace limbeck::core
