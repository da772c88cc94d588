#include "tests/support/golden_machine.h"

#include <ATen/Version.h>
#include <cpuid.h>
#include <torch/version.h>

#include <cstring>
#include <string>

namespace limbeck::testing {

namespace {

/// "AuthenticAMD", "GenuineIntel", ...
std::string cpu_vendor() {
  unsigned int largest = 0, parts[3] = {};
  __get_cpuid(0, &largest, &parts[0], &parts[2], &parts[1]);  // ebx, edx, ecx is the order of the text
  char text[sizeof(parts)];
  std::memcpy(text, parts, sizeof(parts));
  return {text, sizeof(parts)};
}

}  // namespace

bool is_golden_machine() {
  return TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR == 13 && at::get_cpu_capability() == "AVX512" &&
         cpu_vendor() == "AuthenticAMD";
}

}  // namespace limbeck::testing
