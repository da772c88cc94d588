# The fmt that libtorch's headers carry, compiled once. They carry its headers alone, and header-only every file of ours
# pays three seconds for compiling number formatting again. Where its version does not compile so, the target falls back
# to header-only. (The distribution's fmt, which folders without libtorch use header-only, lives in another inline
# namespace; both get along in one process.)
#
# Result: limbeck_torch_fmt, for everything that sees libtorch's headers.
set(fmt_probe "${PROJECT_BINARY_DIR}/fmt_probe")
file(WRITE "${fmt_probe}/main.cpp" [[
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <vector>
int main(int argc, char** argv) {
  const std::vector<double> numbers(argc, 0.5);
  try {
    fmt::print("{} {:.3g} {:L} {} {}\n", numbers, 0.5f * argc, argc, 1.0L * argc, fmt::ptr(argv));
  } catch (const fmt::format_error&) {
    return 1;
  }
}
]])
try_compile(
  LIMBECK_COMPILES_TORCH_FMT "${fmt_probe}/build" SOURCES "${fmt_probe}/main.cpp" "${PROJECT_SOURCE_DIR}/cmake/torch_fmt.cpp"
  CMAKE_FLAGS "-DINCLUDE_DIRECTORIES=${Libtorch_INCLUDE_DIR}" CXX_STANDARD 20 CXX_STANDARD_REQUIRED ON)

if(LIMBECK_COMPILES_TORCH_FMT)
  add_library(limbeck_torch_fmt STATIC "${PROJECT_SOURCE_DIR}/cmake/torch_fmt.cpp")
  target_link_libraries(limbeck_torch_fmt PRIVATE limbeck_torch_headers)
  set_property(GLOBAL APPEND PROPERTY LIMBECK_LIBRARIES limbeck_torch_fmt)
else()
  message(STATUS "fmt beside libtorch is used header-only")
  add_library(limbeck_torch_fmt INTERFACE)
  target_compile_definitions(limbeck_torch_fmt INTERFACE FMT_HEADER_ONLY)
endif()
