# fmt, compiled once for each of its two versions here: libtorch's headers carry one (headers alone), folders without
# libtorch see the distribution's. The two live in different inline namespaces and get along in one process. Header-only,
# every file of ours would pay two to three seconds for compiling number formatting again; a version that does not
# compile as we do it is used so nevertheless.
#
# Result: limbeck_torch_fmt for everything that sees libtorch's headers, limbeck_system_fmt for the rest.
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

# limbeck_fmt(TARGET RESULT HEADERS_TARGET INCLUDE_DIRECTORY): RESULT says whether that version compiles once.
function(limbeck_fmt target result headers include_directory)
  try_compile(
    ${result} "${fmt_probe}/${target}" SOURCES "${fmt_probe}/main.cpp" "${PROJECT_SOURCE_DIR}/cmake/fmt_library.cpp"
    CMAKE_FLAGS "-DINCLUDE_DIRECTORIES=${include_directory}" CXX_STANDARD 20 CXX_STANDARD_REQUIRED ON)
  if(${result})
    add_library(${target} STATIC "${PROJECT_SOURCE_DIR}/cmake/fmt_library.cpp")
    target_link_libraries(${target} PRIVATE ${headers})
    set_property(GLOBAL APPEND PROPERTY LIMBECK_LIBRARIES ${target})
  else()
    message(STATUS "${target}: this version of fmt is used header-only")
    add_library(${target} INTERFACE)
    target_compile_definitions(${target} INTERFACE FMT_HEADER_ONLY)
  endif()
endfunction()

get_target_property(fmt_include fmt::fmt-header-only INTERFACE_INCLUDE_DIRECTORIES)
limbeck_fmt(limbeck_torch_fmt LIMBECK_COMPILES_TORCH_FMT limbeck_torch_headers "${Libtorch_INCLUDE_DIR}")
limbeck_fmt(limbeck_system_fmt LIMBECK_COMPILES_SYSTEM_FMT limbeck_headers "${fmt_include}")
