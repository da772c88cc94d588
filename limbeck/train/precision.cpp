#include "limbeck/train/precision.h"

#include "limbeck/core/cpu.h"
#include "limbeck/core/error.h"

namespace limbeck::train {

std::string_view precision_name(Precision precision) {
  if (precision == Precision::fp32) return "fp32";
  return precision == Precision::bf16 ? "bf16" : "fp16";
}

Precision parse_precision(std::string_view name) {
  for (const Precision precision : {Precision::fp32, Precision::bf16, Precision::fp16}) {
    if (name == precision_name(precision)) return precision;
  }
  fail<InvalidArgument>("[train] precision '{}' does not exist. Use fp32, bf16 or fp16.", name);
}

c10::ScalarType autocast_dtype(Precision precision) {
  LIMBECK_ASSERT(precision != Precision::fp32, "[train] fp32 needs no autocast");
  return precision == Precision::bf16 ? c10::ScalarType::BFloat16 : c10::ScalarType::Half;
}

std::string describe_precision(Precision precision) {
  const core::CpuFeatures& cpu = core::cpu_features();
  if (precision == Precision::fp32) return "float32 throughout";
  if (precision == Precision::bf16) {
    if (cpu.amx_bf16) return "bfloat16 is native on this CPU (AMX)";
    if (cpu.avx512_bf16) return "bfloat16 is native on this CPU (AVX512-BF16)";
    return "this CPU has no bfloat16 arithmetic: results are rounded to bfloat16, the speed is no better than fp32's";
  }
  if (cpu.avx512_fp16) return "float16 is native on this CPU (AVX512-FP16)";
  return "this CPU has no float16 arithmetic: results are rounded to float16, the speed is no better than fp32's";
}

}  // namespace limbeck::train
