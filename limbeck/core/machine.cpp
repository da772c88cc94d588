#include "limbeck/core/machine.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <fstream>
#include <set>
#include <sstream>
#include <string_view>
#include <thread>
#include <vector>

#include "limbeck/core/error.h"

namespace limbeck::core {
namespace {

namespace fs = std::filesystem;

// The first line of a small file of the kernel, or nothing.
std::optional<std::string> read_line(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  return line;
}

std::optional<std::int64_t> to_integer(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end == text.data()) return std::nullopt;
  return value;
}

std::optional<std::int64_t> read_integer(const fs::path& path) {
  const auto line = read_line(path);
  return line ? to_integer(*line) : std::nullopt;
}

// The number after `key` in a file of lines "key value" or "key: value kB".
std::optional<std::uint64_t> read_field(const fs::path& path, std::string_view key) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream words(line);
    std::string name;
    std::uint64_t value = 0;
    if (words >> name >> value && name == key) return value;
  }
  return std::nullopt;
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream{std::string(text)};
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

bool lists(const std::string& options, std::string_view name) {
  const auto parts = split(options, ',');
  return std::find(parts.begin(), parts.end(), name) != parts.end();
}

// A place where a hierarchy of control groups is mounted.
struct CgroupMount {
  std::string group;  // the group that the mount shows as its top
  std::string folder;
  bool unified = false;
  std::string controllers;  // of version 1, joined by commas
};

// Lines are "id parent device group folder options... - type source super_options" (proc(5)).
std::vector<CgroupMount> read_cgroup_mounts(const fs::path& root) {
  std::vector<CgroupMount> mounts;
  std::ifstream file(root / "proc/self/mountinfo");
  for (std::string line; std::getline(file, line);) {
    const std::size_t dash = line.find(" - cgroup");
    if (dash == std::string::npos) continue;
    const auto before = split(std::string_view(line).substr(0, dash), ' ');
    const auto after = split(std::string_view(line).substr(dash + 3), ' ');
    if (before.size() < 5 || after.size() < 3) continue;
    mounts.push_back({before[3], before[4], after[0] == "cgroup2", after[2]});
  }
  return mounts;
}

// The group's folder and those of its ancestors up to the mount, nearest first. A group that the mount does not show
// (it lies outside the namespace) leaves the mount itself, which then is the process's own group.
std::vector<fs::path> folders_of_group(const fs::path& root, const CgroupMount& mount, const std::string& group) {
  const fs::path top = root / fs::path(mount.folder).relative_path();
  std::string below = group;
  if (mount.group != "/") below = group.starts_with(mount.group) ? group.substr(mount.group.size()) : "";
  const fs::path relative = fs::path(below).lexically_normal().relative_path();
  if (relative.empty() || *relative.begin() == "..") return {top};
  std::vector<fs::path> folders;
  for (fs::path part = relative; !part.empty() && part != part.parent_path(); part = part.parent_path()) {
    const fs::path folder = top / part;
    if (fs::is_directory(folder)) folders.push_back(folder);
  }
  folders.push_back(top);
  return folders;
}

std::optional<double> read_quota(const fs::path& folder, bool unified) {
  if (!unified) {
    const auto quota = read_integer(folder / "cpu.cfs_quota_us"), period = read_integer(folder / "cpu.cfs_period_us");
    if (!quota || !period || *quota <= 0 || *period <= 0) return std::nullopt;
    return static_cast<double>(*quota) / static_cast<double>(*period);
  }
  const auto line = read_line(folder / "cpu.max");  // "QUOTA PERIOD" or "max PERIOD"
  const auto words = split(line.value_or(""), ' ');
  if (words.size() != 2) return std::nullopt;
  const auto quota = to_integer(words[0]), period = to_integer(words[1]);
  if (!quota || !period || *quota <= 0 || *period <= 0) return std::nullopt;
  return static_cast<double>(*quota) / static_cast<double>(*period);
}

void tighten_quota(CgroupLimits& limits, const fs::path& folder, bool unified) {
  const auto quota = read_quota(folder, unified);
  if (quota && (!limits.cpu_quota || *quota < *limits.cpu_quota)) limits.cpu_quota = quota;
}

// Used memory leaves out the page cache that the kernel gives up first, as the group's working set is usually counted.
void tighten_memory(CgroupLimits& limits, const fs::path& folder, bool unified) {
  constexpr std::int64_t kUnlimited = std::int64_t{1} << 60;  // version 1 writes a huge number for "no limit"
  const auto limit = read_integer(folder / (unified ? "memory.max" : "memory.limit_in_bytes"));
  if (!limit || *limit < 0 || *limit >= kUnlimited) return;
  const auto bytes = static_cast<std::uint64_t>(*limit);
  if (limits.memory_bytes && *limits.memory_bytes <= bytes) return;
  limits.memory_bytes = bytes;
  const auto used = read_integer(folder / (unified ? "memory.current" : "memory.usage_in_bytes"));
  if (!used || *used < 0) {
    limits.memory_used_bytes.reset();
    return;
  }
  const auto cache = read_field(folder / "memory.stat", unified ? "inactive_file" : "total_inactive_file").value_or(0);
  limits.memory_used_bytes = static_cast<std::uint64_t>(*used) - std::min(cache, static_cast<std::uint64_t>(*used));
}

std::uint64_t parse_cache_size(const std::string& text) {
  const auto value = to_integer(text);
  if (!value || *value < 0) return 0;
  const char unit = text.empty() ? '\0' : text.back();
  const int shift = unit == 'K' ? 10 : unit == 'M' ? 20 : unit == 'G' ? 30 : 0;
  return static_cast<std::uint64_t>(*value) << shift;
}

// The process's affinity mask as CPU numbers, also beyond the 1,024 of cpu_set_t.
std::vector<int> read_affinity() {
  for (int num_cpus = 1024; num_cpus <= 1 << 20; num_cpus *= 2) {
    const std::size_t bytes = CPU_ALLOC_SIZE(num_cpus);
    cpu_set_t* set = CPU_ALLOC(num_cpus);
    const bool known = sched_getaffinity(0, bytes, set) == 0;
    const bool too_small = !known && errno == EINVAL;
    std::vector<int> cpus;
    for (int cpu = 0; known && cpu < num_cpus; ++cpu)
      if (CPU_ISSET_S(static_cast<std::size_t>(cpu), bytes, set)) cpus.push_back(cpu);
    CPU_FREE(set);
    if (!too_small) return cpus;
  }
  return {};
}

int num_online() { return std::max(1, static_cast<int>(std::thread::hardware_concurrency())); }

int count_physical(const std::vector<int>& cpus) {
  std::set<std::string> cores;
  for (int cpu : cpus) {
    const auto siblings = read_line(fmt::format("/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list", cpu));
    cores.insert(siblings.value_or(std::to_string(cpu)));
  }
  return std::max(1, static_cast<int>(cores.size()));
}

std::string read_cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

}  // namespace

CgroupLimits read_cgroup_limits(const fs::path& root) {
  CgroupLimits limits;
  const auto mounts = read_cgroup_mounts(root);
  std::ifstream file(root / "proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {  // "hierarchy:controllers:group"
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1), group = line.substr(second + 1);
    const bool unified = controllers.empty();
    for (const CgroupMount& mount : mounts) {
      if (mount.unified != unified) continue;
      const bool cpu = unified || (lists(controllers, "cpu") && lists(mount.controllers, "cpu"));
      const bool memory = unified || (lists(controllers, "memory") && lists(mount.controllers, "memory"));
      if (!cpu && !memory) continue;
      if (limits.version != 1) limits.version = unified ? 2 : 1;  // hybrid: version 1 has the controllers
      for (const fs::path& folder : folders_of_group(root, mount, group)) {
        if (cpu) tighten_quota(limits, folder, unified);
        if (memory) tighten_memory(limits, folder, unified);
      }
    }
  }
  return limits;
}

CacheSizes read_cache_sizes(int cpu, const fs::path& root) {
  CacheSizes sizes;
  const fs::path folder = root / fmt::format("sys/devices/system/cpu/cpu{}/cache", cpu);
  for (int index = 0; fs::exists(folder / fmt::format("index{}", index)); ++index) {
    const fs::path cache = folder / fmt::format("index{}", index);
    if (read_line(cache / "type") == "Instruction") continue;
    const std::uint64_t bytes = parse_cache_size(read_line(cache / "size").value_or(""));
    const auto level = read_integer(cache / "level");
    if (level == 1) sizes.l1_bytes = bytes;
    if (level == 2) sizes.l2_bytes = bytes;
    if (level == 3) sizes.l3_bytes = bytes;
  }
  return sizes;
}

Memory read_memory(const fs::path& root) {
  constexpr std::uint64_t kKib = 1024;
  const fs::path meminfo = root / "proc/meminfo";
  Memory memory;
  memory.total_bytes = read_field(meminfo, "MemTotal:").value_or(0) * kKib;
  memory.available_bytes = read_field(meminfo, "MemAvailable:").value_or(0) * kKib;
  memory.limit_bytes = memory.total_bytes;
  const CgroupLimits limits = read_cgroup_limits(root);
  if (!limits.memory_bytes || *limits.memory_bytes >= memory.total_bytes) return memory;
  memory.limit_bytes = *limits.memory_bytes;
  const std::uint64_t used = std::min(limits.memory_used_bytes.value_or(0), memory.limit_bytes);
  memory.available_bytes = std::min(memory.available_bytes, memory.limit_bytes - used);
  return memory;
}

int resolve_num_cores(int num_affinity, std::optional<double> cpu_quota) {
  const int within = cpu_quota && *cpu_quota < num_affinity ? static_cast<int>(std::floor(*cpu_quota)) : num_affinity;
  return std::max(1, within);
}

int num_usable_cores() {
  const auto cpus = read_affinity();
  return resolve_num_cores(cpus.empty() ? num_online() : static_cast<int>(cpus.size()), read_cgroup_limits().cpu_quota);
}

Machine read_machine() {
  const auto cpus = read_affinity();
  Machine machine;
  machine.cpu_model = read_cpu_model();
  machine.num_logical_cores = std::max(1, static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)));
  machine.num_affinity_cores = cpus.empty() ? num_online() : static_cast<int>(cpus.size());
  machine.num_physical_cores = count_physical(cpus);
  machine.cgroup = read_cgroup_limits();
  machine.num_usable_cores = resolve_num_cores(machine.num_affinity_cores, machine.cgroup.cpu_quota);
  machine.caches = read_cache_sizes(cpus.empty() ? 0 : cpus.front());
  machine.memory = read_memory();
  return machine;
}

}  // namespace limbeck::core
