#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <set>
#include <sstream>

#include "cli/commands.h"
#include "cli/console.h"
#include "limbeck/core/cpu.h"
#include "limbeck/core/error.h"
#include "limbeck/core/format.h"
#include "limbeck/core/machine.h"
#include "limbeck/core/table.h"
#include "limbeck/data/files/idx_dataset.h"
#include "limbeck/train/determinism.h"

namespace limbeck::cli {

namespace {

using core::Json;

/// One fact: what is known about something.
struct Fact {
  std::string section, key;
  Json value;        // null: unknown
  std::string text;  // as people read it
};

/// Something that this machine or build lacks, and how to get it.
struct Advice {
  std::string missing, remedy;
};

class Findings {
 public:
  void add(std::string key, Json value, std::string text) {
    facts_.push_back({.section = section_, .key = std::move(key), .value = std::move(value), .text = std::move(text)});
  }
  void add(std::string key, const std::string& text) { add(std::move(key), Json(text), text); }
  void add_bytes(std::string key, std::uint64_t bytes) {
    add(std::move(key), bytes == 0 ? Json(nullptr) : Json(bytes), bytes == 0 ? "unknown" : core::format_bytes(bytes));
  }
  void add_bool(std::string key, bool value, const std::string& text) { add(std::move(key), Json(value), text); }
  void begin_section(std::string section) { section_ = std::move(section); }
  void advise(std::string missing, std::string remedy) { advice_.push_back({std::move(missing), std::move(remedy)}); }

  const std::vector<Fact>& facts() const { return facts_; }
  const std::vector<Advice>& advice() const { return advice_; }

 private:
  std::string section_;
  std::vector<Fact> facts_;
  std::vector<Advice> advice_;
};

std::vector<std::string> usable_tiers() {
  using core::Isa;
  std::vector<std::string> tiers;
  for (const Isa isa :
       {Isa::portable, Isa::avx2, Isa::avx2_vnni, Isa::avx512, Isa::avx512_vnni, Isa::avx512_bf16, Isa::amx}) {
    if (core::has_isa(core::cpu_features(), isa)) tiers.emplace_back(core::isa_name(isa));
  }
  return tiers;
}

/// LIMBECK_ISA may name a tier that this machine lacks: doctor says so instead of failing.
void add_active_tier(Findings& findings) {
  const char* forced = std::getenv("LIMBECK_ISA");
  try {
    const std::string name(core::isa_name(core::active_isa()));
    findings.add("tier used", forced != nullptr && *forced != '\0' ? name + ", set by LIMBECK_ISA" : name);
  } catch (const InvalidArgument& error) {
    findings.add("tier used", Json(nullptr), "none");
    findings.advise("LIMBECK_ISA names no tier of this machine", error.what());
  }
}

void look_at_cpu(Findings& findings, const core::Machine& machine) {
  findings.begin_section("CPU");
  findings.add("model", machine.cpu_model.empty() ? "unknown" : machine.cpu_model);
  const std::vector<std::string> tiers = usable_tiers(), features = core::cpu_feature_names(core::cpu_features());
  findings.add("tiers", Json::array(tiers), fmt::format("{}", fmt::join(tiers, ", ")));
  add_active_tier(findings);
  findings.add("features", Json::array(features), fmt::format("{}", fmt::join(features, " ")));
  const core::CpuFeatures& cpu = core::cpu_features();
  findings.add_bool("bf16", cpu.avx512_bf16 || cpu.amx_bf16,
                    cpu.avx512_bf16 || cpu.amx_bf16 ? "native" : "emulated: precision bf16 works and is slower");
  findings.add_bool("AMX", cpu.amx_tile, cpu.amx_tile ? "usable by this process" : "not available");
  if (!cpu.avx2) findings.advise("AVX2", "kernels run their portable forms; a virtual machine may mask the feature");
}

void look_at_cores(Findings& findings, const core::Machine& machine) {
  findings.begin_section("cores");
  findings.add("usable", Json(machine.num_usable_cores), fmt::format("{}", machine.num_usable_cores));
  findings.add("in the affinity mask", Json(machine.num_affinity_cores),
               fmt::format("{} ({} physical) of {} online", machine.num_affinity_cores, machine.num_physical_cores,
                           machine.num_logical_cores));
  const auto& quota = machine.cgroup.cpu_quota;
  findings.add("cgroup quota", quota ? Json(*quota) : Json(nullptr),
               quota ? fmt::format("{:.2f} cores (v{})", *quota, machine.cgroup.version) : "none");
  const char* omp = std::getenv("OMP_NUM_THREADS");
  if (omp != nullptr) findings.add("OMP_NUM_THREADS", std::string(omp));
  if (quota && *quota < machine.num_affinity_cores) {
    findings.advise(fmt::format("{} cores are visible, {:.2f} may be used", machine.num_affinity_cores, *quota),
                    "raise the container's CPU quota to use them all");
  }
}

void look_at_memory(Findings& findings, const core::Machine& machine) {
  constexpr std::uint64_t kLittleMemory = std::uint64_t{2} << 30;  // what building and the demo need
  findings.begin_section("memory");
  findings.add_bytes("L1 data cache", machine.caches.l1_bytes);
  findings.add_bytes("L2 cache", machine.caches.l2_bytes);
  findings.add_bytes("L3 cache", machine.caches.l3_bytes);
  findings.add_bytes("total", machine.memory.total_bytes);
  findings.add_bytes("limit", machine.memory.limit_bytes);
  findings.add_bytes("available", machine.memory.available_bytes);
  if (machine.memory.available_bytes < kLittleMemory) {
    findings.advise("memory: " + core::format_bytes(machine.memory.available_bytes) + " are left",
                    "training may be killed; take smaller batches or free some");
  }
}

/// Files of OpenMP runtimes that are mapped into this process. More than one is two teams of threads.
std::vector<std::string> openmp_runtimes() {
  std::ifstream maps("/proc/self/maps");
  std::set<std::string> paths;
  for (std::string line; std::getline(maps, line);) {
    const std::size_t slash = line.find('/');
    if (slash == std::string::npos) continue;
    const std::string path = line.substr(slash), file = path.substr(path.rfind('/') + 1);
    for (const char* name : {"libgomp", "libomp", "libiomp"}) {
      if (file.starts_with(name)) paths.insert(path);
    }
  }
  return {paths.begin(), paths.end()};
}

/// The lines of libtorch's description of its build, without their bullets.
std::vector<std::string> build_lines() {
  std::istringstream stream(at::show_config());
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) {
    const std::size_t start = line.find_first_not_of(" -\t");
    if (start != std::string::npos && start > 0) lines.push_back(line.substr(start));
  }
  return lines;
}

void look_at_libtorch(Findings& findings) {
  findings.begin_section("libtorch");
  findings.add("version", train::ArithmeticEnvironment::current().libtorch);
  findings.add("kernels", at::get_cpu_capability());
  findings.add("threads", Json(at::get_num_threads()), fmt::format("{}", at::get_num_threads()));
  const std::vector<std::string> runtimes = openmp_runtimes();
  findings.add("OpenMP runtime", Json::array(runtimes), fmt::format("{}", fmt::join(runtimes, ", ")));
  findings.add_bool("oneDNN", at::hasMKLDNN(), at::hasMKLDNN() ? "yes" : "no");
  findings.add_bool("MKL", at::hasMKL(), at::hasMKL() ? "yes" : "no");
  const std::vector<std::string> lines = build_lines();
  std::vector<std::string> shown = lines;  // but for its flags, half a page that only --json has
  std::erase_if(shown, [](const std::string& line) { return line.starts_with("Build settings"); });
  findings.add("build", Json::array(lines), fmt::format("{}", fmt::join(shown, "; ")));
  findings.add("reproducible",
               "training uses deterministic algorithms; the bits of a run depend on libtorch, its kernels and the "
               "number of threads");
  if (runtimes.size() > 1) {
    findings.advise("one OpenMP runtime: several are mapped, which are as many teams of threads",
                    "build with the runtime that libtorch ships (cmake/FindLibtorch.cmake finds it)");
  }
  if (runtimes.empty()) findings.advise("OpenMP", "libtorch runs on one thread; take a build with OpenMP");
  if (!at::hasMKLDNN()) findings.advise("oneDNN in libtorch", "convolutions are slow; take a build with oneDNN");
}

void look_at_data(Findings& findings) {
  findings.begin_section("data");
  try {
    findings.add("Fashion-MNIST", data::find_fashion_mnist().string());
  } catch (const IoError& error) {
    findings.add("Fashion-MNIST", Json(nullptr), "not found");
    findings.advise("Fashion-MNIST", error.what());
  }
}

std::string to_text(const Findings& findings) {
  using core::Table;
  Table table({{"about", Table::Align::left}, {"fact", Table::Align::left}, {"found", Table::Align::left}});
  std::string section;
  for (const Fact& fact : findings.facts()) {
    table.add_row({fact.section == section ? "" : fact.section, fact.key, fact.text});
    section = fact.section;
  }
  std::string text = table.text(terminal_width()) + "\n";
  if (findings.advice().empty()) return text + "Nothing is missing.\n";
  Table missing({{"missing", Table::Align::left}, {"what to do", Table::Align::left}});
  for (const Advice& advice : findings.advice()) missing.add_row({advice.missing, advice.remedy});
  return text + missing.text(terminal_width());
}

Json to_json(const Findings& findings) {
  Json json = Json::object({{"limbeck", LIMBECK_VERSION}});
  for (const Fact& fact : findings.facts()) json[fact.section][fact.key] = fact.value;
  Json::Array missing;
  for (const Advice& advice : findings.advice())
    missing.push_back(Json::object({{"missing", advice.missing}, {"remedy", advice.remedy}}));
  json["missing"] = Json(std::move(missing));
  return json;
}

}  // namespace

int run_command(const DoctorArguments& arguments) {
  Findings findings;
  const core::Machine machine = core::read_machine();
  look_at_cpu(findings, machine);
  look_at_cores(findings, machine);
  look_at_memory(findings, machine);
  look_at_libtorch(findings);
  look_at_data(findings);
  if (arguments.output.json) {
    print(to_json(findings));
  } else {
    print(fmt::format("Limbeck {}\n\n", LIMBECK_VERSION) + to_text(findings));
  }
  return kDone;
}

}  // namespace limbeck::cli
