// What this process may execute: instruction-set tiers from CPUID and the operating system's permission (XGETBV for
// vector and tile state, arch_prctl for AMX data), never from the model number, since virtual machines mask features.
// LIMBECK_ISA forces the tier down. Decoding is a pure function of registers, so that it is tested on any machine.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace limbeck::core {

/// Tiers in the order of preference. Each but `avx2_vnni` implies the ones before it (`avx512` implies `avx2` and not
/// `avx2_vnni`, which AVX-512 machines may lack): ask `is_isa_enabled` for each tier that a kernel needs.
///   avx2: AVX2, FMA, F16C, BMI2          avx2_vnni: avx2 + AVX-VNNI
///   avx512: avx2 + F, CD, BW, DQ, VL     avx512_vnni: + AVX512-VNNI     avx512_bf16: + AVX512-BF16
///   amx: avx512_bf16 + AMX-TILE, AMX-INT8, AMX-BF16 with tile data permitted to this process
enum class Isa { portable, avx2, avx2_vnni, avx512, avx512_vnni, avx512_bf16, amx };

/// The registers that decide, as read from the machine (or made up by a test); zero where a leaf does not exist.
struct CpuRegisters {
  std::uint32_t leaf1_ecx = 0;  // CPUID(1)
  std::uint32_t leaf7_ebx = 0;  // CPUID(7, 0)
  std::uint32_t leaf7_ecx = 0;
  std::uint32_t leaf7_edx = 0;
  std::uint32_t leaf7_1_eax = 0;  // CPUID(7, 1)
  std::uint64_t xcr0 = 0;         // XGETBV(0), 0 where OSXSAVE is off
  bool tile_data_permitted = false;
};

/// Features that this process can use now: present in CPUID and enabled by the operating system.
struct CpuFeatures {
  bool sse42 = false, avx = false, f16c = false, fma = false, avx2 = false, bmi2 = false, avx_vnni = false;
  bool avx512f = false, avx512cd = false, avx512bw = false, avx512dq = false, avx512vl = false;
  bool avx512_vbmi = false, avx512_vnni = false, avx512_bf16 = false, avx512_fp16 = false;
  bool amx_tile = false, amx_int8 = false, amx_bf16 = false;
};

CpuFeatures decode_cpu_features(const CpuRegisters& registers);

/// This machine's registers; asks the kernel for AMX permission. All zero where the architecture is not x86-64.
CpuRegisters read_cpu_registers();

/// This process's features, read once.
const CpuFeatures& cpu_features();

/// The names of the features that are on, such as "avx2", "avx512f", in the order of the struct.
std::vector<std::string> cpu_feature_names(const CpuFeatures& features);

/// "portable", "avx2", "avx2_vnni", "avx512", "avx512_vnni", "avx512_bf16" or "amx".
std::string_view isa_name(Isa isa);

/// The tier of that name. Throws InvalidArgument that lists the names.
Isa parse_isa(std::string_view name);

bool has_isa(const CpuFeatures& features, Isa isa);
Isa best_isa(const CpuFeatures& features);

/// The tier to use: `requested` (empty: the best one). Throws InvalidArgument for an unknown name or for a tier that
/// `features` lacks; the message lists the tiers to choose from.
Isa resolve_isa(std::string_view requested, const CpuFeatures& features);

/// The tier of this process: LIMBECK_ISA resolved at first use. Throws as resolve_isa does.
Isa active_isa();

/// Whether kernels of tier `isa` may run: the machine has it and it does not lie above active_isa().
bool is_isa_enabled(Isa isa);

}  // namespace limbeck::core
