#include "tests/support/golden_machine.h"

#include <ATen/Version.h>
#include <torch/version.h>

namespace limbeck::testing {

bool is_golden_machine() {
  return TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR == 13 && at::get_cpu_capability() == "AVX512";
}

}  // namespace limbeck::testing
