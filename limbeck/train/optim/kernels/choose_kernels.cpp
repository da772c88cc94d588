#include "limbeck/train/optim/kernels/choose_kernels.h"

#include "limbeck/core/cpu.h"

namespace limbeck::train {

bool has_kernels(const at::Tensor& parameter) {
  const at::ScalarType type = parameter.scalar_type();
  return parameter.is_cpu() &&
         (type == at::kFloat || type == at::kDouble || type == at::kBFloat16 || type == at::kHalf);
}

const kernels::UpdateKernels<float, float>& float_kernels() {
  static const kernels::UpdateKernels<float, float> chosen =
      core::is_isa_enabled(core::Isa::avx512) ? kernels::avx512_kernels()
      : core::is_isa_enabled(core::Isa::avx2) ? kernels::avx2_kernels()
                                              : kernels::portable_float_kernels();
  return chosen;
}

kernels::SplitSgd split_sgd_kernel() {
  if (core::is_isa_enabled(core::Isa::avx512)) return kernels::avx512_split_sgd();
  if (core::is_isa_enabled(core::Isa::avx2)) return kernels::avx2_split_sgd();
  return kernels::portable_split_sgd();
}

}  // namespace limbeck::train
