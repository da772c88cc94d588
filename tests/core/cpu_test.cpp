#include "limbeck/core/cpu.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "limbeck/core/error.h"

namespace limbeck::core {
namespace {

// Registers of a machine that has everything; tests take parts away.
CpuRegisters everything() {
  CpuRegisters r;
  r.leaf1_ecx = r.leaf7_ebx = r.leaf7_ecx = r.leaf7_edx = r.leaf7_1_eax = ~0u;
  r.xcr0 = ~0ull;
  r.tile_data_permitted = true;
  return r;
}

Isa best(const CpuRegisters& r) { return best_isa(decode_cpu_features(r)); }

TEST(Cpu, TakesTheBestTierOfWhatIsThere) {
  EXPECT_EQ(best(everything()), Isa::amx);
  EXPECT_EQ(best(CpuRegisters{}), Isa::portable);
}

TEST(Cpu, BelievesTheOperatingSystem) {
  CpuRegisters r = everything();
  r.tile_data_permitted = false;
  EXPECT_EQ(best(r), Isa::avx512_bf16) << "tile data not granted";
  r = everything();
  r.xcr0 &= ~0x40000ull;
  EXPECT_EQ(best(r), Isa::avx512_bf16) << "tile data not enabled";
  r.xcr0 = 0x7;
  EXPECT_EQ(best(r), Isa::avx2_vnni) << "registers zmm not saved";
  r.xcr0 = 0x67;
  EXPECT_EQ(best(r), Isa::avx2_vnni) << "half of the zmm state is not enough";
  r.xcr0 = 0x3;
  EXPECT_EQ(best(r), Isa::portable) << "registers ymm not saved";
}

TEST(Cpu, SeesFeaturesMaskedByVirtualMachines) {
  const auto without = [](std::uint32_t CpuRegisters::*word, int bit) {
    CpuRegisters r = everything();
    r.*word &= ~(1u << bit);
    return best(r);
  };
  EXPECT_EQ(without(&CpuRegisters::leaf7_edx, 24), Isa::avx512_bf16);   // AMX-TILE
  EXPECT_EQ(without(&CpuRegisters::leaf7_edx, 25), Isa::avx512_bf16);   // AMX-INT8
  EXPECT_EQ(without(&CpuRegisters::leaf7_edx, 22), Isa::avx512_bf16);   // AMX-BF16
  EXPECT_EQ(without(&CpuRegisters::leaf7_1_eax, 5), Isa::avx512_vnni);  // AVX512-BF16
  EXPECT_EQ(without(&CpuRegisters::leaf7_ecx, 11), Isa::avx512);        // AVX512-VNNI
  EXPECT_EQ(without(&CpuRegisters::leaf7_ebx, 31), Isa::avx2_vnni);     // AVX512VL
  EXPECT_EQ(without(&CpuRegisters::leaf7_ebx, 16), Isa::avx2_vnni);     // AVX512F
  EXPECT_EQ(without(&CpuRegisters::leaf7_ebx, 5), Isa::portable);       // AVX2
  EXPECT_EQ(without(&CpuRegisters::leaf1_ecx, 12), Isa::portable);      // FMA
}

TEST(Cpu, Avx512NeedsNoAvxVnni) {
  CpuRegisters r = everything();
  r.leaf7_1_eax &= ~(1u << 4);
  const CpuFeatures features = decode_cpu_features(r);
  EXPECT_FALSE(has_isa(features, Isa::avx2_vnni));
  EXPECT_TRUE(has_isa(features, Isa::amx));
}

TEST(Cpu, NamesRoundTrip) {
  for (Isa isa : {Isa::portable, Isa::avx2, Isa::avx2_vnni, Isa::avx512, Isa::avx512_vnni, Isa::avx512_bf16, Isa::amx})
    EXPECT_EQ(parse_isa(isa_name(isa)), isa);
}

TEST(Cpu, ForcesDownAndRefusesTheRest) {
  CpuRegisters r = everything();
  r.leaf7_ebx &= ~(1u << 16);
  const CpuFeatures features = decode_cpu_features(r);
  EXPECT_EQ(resolve_isa("", features), Isa::avx2_vnni);
  EXPECT_EQ(resolve_isa("avx2", features), Isa::avx2);
  EXPECT_EQ(resolve_isa("portable", features), Isa::portable);
  const auto message = [&](const char* name) -> std::string {
    try {
      resolve_isa(name, features);
    } catch (const InvalidArgument& error) {
      return error.what();
    }
    return "no exception";
  };
  EXPECT_EQ(message("avx512"),
            "[cpu] this process can't run the instruction set 'avx512'. It can run: portable, avx2, avx2_vnni.");
  EXPECT_EQ(
      message("sse9"),
      "[cpu] unknown instruction set 'sse9'. Names: portable, avx2, avx2_vnni, avx512, avx512_vnni, avx512_bf16, amx.");
}

TEST(Cpu, AgreesWithTheCompilersOwnDetection) {
#if defined(__x86_64__)
  const CpuFeatures& features = cpu_features();
  EXPECT_EQ(features.avx2, __builtin_cpu_supports("avx2") != 0);
  EXPECT_EQ(features.fma, __builtin_cpu_supports("fma") != 0);
  EXPECT_EQ(features.avx512f, __builtin_cpu_supports("avx512f") != 0);
  EXPECT_EQ(features.avx512vl, __builtin_cpu_supports("avx512vl") != 0);
  EXPECT_EQ(features.avx512_vnni, __builtin_cpu_supports("avx512vnni") != 0);
  EXPECT_EQ(features.avx512_bf16, __builtin_cpu_supports("avx512bf16") != 0);
#endif
  EXPECT_TRUE(is_isa_enabled(Isa::portable));
  EXPECT_TRUE(is_isa_enabled(active_isa()));
  EXPECT_EQ(cpu_feature_names(CpuFeatures{}).size(), 0u);
  EXPECT_EQ(cpu_feature_names(decode_cpu_features(everything())).size(), 19u);
}

// Each in a process of its own, since the environment is read once.
TEST(CpuDeathTest, TakesTheTierFromTheEnvironment) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto exit_with_tier = [](const char* value) {
    setenv("LIMBECK_ISA", value, 1);
    try {
      const bool above = is_isa_enabled(Isa::avx2) || is_isa_enabled(Isa::amx);
      std::exit(above ? 40 : static_cast<int>(active_isa()));
    } catch (const InvalidArgument& error) {
      fmt::print(stderr, "{}", error.what());
      std::exit(50);
    }
  };
  EXPECT_EXIT(exit_with_tier("portable"), ::testing::ExitedWithCode(static_cast<int>(Isa::portable)), "");
  EXPECT_EXIT(exit_with_tier("sse9"), ::testing::ExitedWithCode(50), "LIMBECK_ISA: .*unknown instruction set 'sse9'");
}

}  // namespace
}  // namespace limbeck::core
