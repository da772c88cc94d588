#include "limbeck/core/cpu.h"

#include <array>
#include <cstdlib>

#include "limbeck/core/error.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace limbeck::core {
namespace {

constexpr std::array<Isa, 7> kIsas = {Isa::portable,    Isa::avx2,        Isa::avx2_vnni, Isa::avx512,
                                      Isa::avx512_vnni, Isa::avx512_bf16, Isa::amx};
constexpr std::array<std::string_view, 7> kIsaNames = {"portable",    "avx2",        "avx2_vnni", "avx512",
                                                       "avx512_vnni", "avx512_bf16", "amx"};

// State components of XCR0 (Intel SDM volume 1, section 13.1).
constexpr std::uint64_t kXcr0Avx = 0x6;        // SSE, AVX
constexpr std::uint64_t kXcr0Avx512 = 0xE6;    // and opmask, upper halves, high registers
constexpr std::uint64_t kXcr0Tiles = 0x60000;  // tile configuration, tile data
constexpr std::uint32_t kAmxTileBit = 24;      // CPUID(7, 0).edx

constexpr bool bit(std::uint32_t word, int index) { return ((word >> index) & 1) != 0; }

std::string joined_names(const CpuFeatures& features) {
  std::string result;
  for (Isa isa : kIsas)
    if (has_isa(features, isa)) result += (result.empty() ? "" : ", ") + std::string(isa_name(isa));
  return result;
}

#if defined(__x86_64__)
std::uint64_t read_xcr0() {
  std::uint32_t low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<std::uint64_t>(high) << 32) | low;
}

// Linux gives tile data only to processes that ask (Documentation/arch/x86/xstate.rst).
bool request_tile_data() {
#if defined(SYS_arch_prctl)
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;               // XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}
#endif

}  // namespace

CpuFeatures decode_cpu_features(const CpuRegisters& r) {
  CpuFeatures f;
  f.sse42 = bit(r.leaf1_ecx, 20);
  f.avx = bit(r.leaf1_ecx, 28) && (r.xcr0 & kXcr0Avx) == kXcr0Avx;
  if (!f.avx) return f;
  f.fma = bit(r.leaf1_ecx, 12);
  f.f16c = bit(r.leaf1_ecx, 29);
  f.avx2 = bit(r.leaf7_ebx, 5);
  f.bmi2 = bit(r.leaf7_ebx, 8);
  f.avx_vnni = f.avx2 && bit(r.leaf7_1_eax, 4);
  f.avx512f = bit(r.leaf7_ebx, 16) && (r.xcr0 & kXcr0Avx512) == kXcr0Avx512;
  if (f.avx512f) {
    f.avx512dq = bit(r.leaf7_ebx, 17);
    f.avx512cd = bit(r.leaf7_ebx, 28);
    f.avx512bw = bit(r.leaf7_ebx, 30);
    f.avx512vl = bit(r.leaf7_ebx, 31);
    f.avx512_vbmi = bit(r.leaf7_ecx, 1);
    f.avx512_vnni = bit(r.leaf7_ecx, 11);
    f.avx512_bf16 = bit(r.leaf7_1_eax, 5);
    f.avx512_fp16 = bit(r.leaf7_edx, 23);
  }
  const bool tiles = (r.xcr0 & kXcr0Tiles) == kXcr0Tiles && r.tile_data_permitted;
  f.amx_tile = tiles && bit(r.leaf7_edx, kAmxTileBit);
  f.amx_int8 = f.amx_tile && bit(r.leaf7_edx, 25);
  f.amx_bf16 = f.amx_tile && bit(r.leaf7_edx, 22);
  return f;
}

CpuRegisters read_cpu_registers() {
  CpuRegisters r;
#if defined(__x86_64__)
  std::uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) == 0) return r;
  r.leaf1_ecx = ecx;
  if (bit(ecx, 27)) r.xcr0 = read_xcr0();  // OSXSAVE
  std::uint32_t max_subleaf = 0;
  if (__get_cpuid_count(7, 0, &max_subleaf, &ebx, &ecx, &edx) == 0) return r;
  r.leaf7_ebx = ebx;
  r.leaf7_ecx = ecx;
  r.leaf7_edx = edx;
  if (max_subleaf >= 1 && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0) r.leaf7_1_eax = eax;
  if (bit(r.leaf7_edx, kAmxTileBit)) r.tile_data_permitted = request_tile_data();
#endif
  return r;
}

const CpuFeatures& cpu_features() {
  static const CpuFeatures features = decode_cpu_features(read_cpu_registers());
  return features;
}

std::vector<std::string> cpu_feature_names(const CpuFeatures& f) {
  const std::pair<bool, const char*> table[] = {{f.sse42, "sse4.2"},
                                                {f.avx, "avx"},
                                                {f.f16c, "f16c"},
                                                {f.fma, "fma"},
                                                {f.avx2, "avx2"},
                                                {f.bmi2, "bmi2"},
                                                {f.avx_vnni, "avx_vnni"},
                                                {f.avx512f, "avx512f"},
                                                {f.avx512cd, "avx512cd"},
                                                {f.avx512bw, "avx512bw"},
                                                {f.avx512dq, "avx512dq"},
                                                {f.avx512vl, "avx512vl"},
                                                {f.avx512_vbmi, "avx512_vbmi"},
                                                {f.avx512_vnni, "avx512_vnni"},
                                                {f.avx512_bf16, "avx512_bf16"},
                                                {f.avx512_fp16, "avx512_fp16"},
                                                {f.amx_tile, "amx_tile"},
                                                {f.amx_int8, "amx_int8"},
                                                {f.amx_bf16, "amx_bf16"}};
  std::vector<std::string> names;
  for (const auto& [present, name] : table)
    if (present) names.emplace_back(name);
  return names;
}

std::string_view isa_name(Isa isa) { return kIsaNames.at(static_cast<std::size_t>(isa)); }

Isa parse_isa(std::string_view name) {
  for (Isa isa : kIsas)
    if (isa_name(isa) == name) return isa;
  fail<InvalidArgument>(
      "[cpu] unknown instruction set '{}'. Names: portable, avx2, avx2_vnni, avx512, avx512_vnni, avx512_bf16, amx.",
      name);
}

bool has_isa(const CpuFeatures& f, Isa isa) {
  const bool avx2 = f.avx2 && f.fma && f.f16c && f.bmi2;
  const bool avx512 = avx2 && f.avx512f && f.avx512cd && f.avx512bw && f.avx512dq && f.avx512vl;
  switch (isa) {
    case Isa::portable:
      return true;
    case Isa::avx2:
      return avx2;
    case Isa::avx2_vnni:
      return avx2 && f.avx_vnni;
    case Isa::avx512:
      return avx512;
    case Isa::avx512_vnni:
      return avx512 && f.avx512_vnni;
    case Isa::avx512_bf16:
      return avx512 && f.avx512_vnni && f.avx512_bf16;
    case Isa::amx:
      return has_isa(f, Isa::avx512_bf16) && f.amx_tile && f.amx_int8 && f.amx_bf16;
  }
  fail<InternalError>("[cpu] no such instruction set: {}", static_cast<int>(isa));
}

Isa best_isa(const CpuFeatures& features) {
  for (auto isa = kIsas.rbegin(); isa != kIsas.rend(); ++isa)
    if (has_isa(features, *isa)) return *isa;
  return Isa::portable;
}

Isa resolve_isa(std::string_view requested, const CpuFeatures& features) {
  if (requested.empty()) return best_isa(features);
  const Isa isa = parse_isa(requested);
  LIMBECK_CHECK(has_isa(features, isa), "[cpu] this process can't run the instruction set '{}'. It can run: {}.",
                requested, joined_names(features));
  return isa;
}

Isa active_isa() {
  static const Isa isa = [] {
    const char* requested = std::getenv("LIMBECK_ISA");
    if (requested == nullptr) return best_isa(cpu_features());
    try {
      return resolve_isa(requested, cpu_features());
    } catch (const InvalidArgument& error) {
      fail<InvalidArgument>("LIMBECK_ISA: {}", error.what());
    }
  }();
  return isa;
}

bool is_isa_enabled(Isa isa) { return isa <= active_isa() && has_isa(cpu_features(), isa); }

}  // namespace limbeck::core
