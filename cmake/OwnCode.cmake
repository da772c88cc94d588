# How our own sources are compiled.

# What every target that includes our headers needs.
add_library(limbeck_headers INTERFACE)
target_include_directories(limbeck_headers INTERFACE "${PROJECT_SOURCE_DIR}")
target_compile_features(limbeck_headers INTERFACE cxx_std_20)
target_link_libraries(limbeck_headers INTERFACE Libtorch::OpenMP Threads::Threads)

# Sanitizers need no instrumented libtorch: own objects are checked, its calls are plain calls. Its run-time types are
# hidden, which vptr would take for errors; instrumented code makes g++ see uninitialised values that are none.
set(LIMBECK_SANITIZE_FLAGS -O1 -fsanitize=address,undefined -fno-sanitize=vptr -fno-sanitize-recover=all
    -fno-omit-frame-pointer -Wno-maybe-uninitialized)

# What our sources add for themselves: warnings, and sanitizers where asked for.
add_library(limbeck_own_code INTERFACE)
target_compile_options(limbeck_own_code INTERFACE -Wall -Wextra -Wshadow)
if(LIMBECK_WARNINGS_AS_ERRORS)
  # g++ 12 takes std::string's own operator+ for an overflow (GCC bug 105651): these stay warnings.
  target_compile_options(limbeck_own_code INTERFACE -Werror -Wno-error=array-bounds -Wno-error=restrict)
endif()
if(LIMBECK_SANITIZE)
  target_compile_options(limbeck_own_code INTERFACE ${LIMBECK_SANITIZE_FLAGS})
  target_link_options(limbeck_headers INTERFACE ${LIMBECK_SANITIZE_FLAGS})
endif()

# limbeck_set_isa_flags(SOURCE...): sources named for an instruction set are compiled for it: x_avx2.cpp, x_avx512.cpp,
# x_avx512_bf16.cpp, x_amx.cpp (tiers of limbeck/core/cpu.h, which says at run time what may be called). Such a source
# includes intrinsics and plain declarations alone and keeps its functions internal or named for the tier: an inline
# function of a library, compiled here, could become the one that the whole program uses. Products and sums are fused
# only where an intrinsic says so, as in the plain reference. They are optimised in every build, so that tests run the
# code that users do. g++ 12 takes the undefined lanes of its own AVX-512 intrinsics
# for mistakes (GCC bug 105593).
set(LIMBECK_ISA_FLAGS_avx2 -mavx2 -mfma -mf16c -mbmi2)
set(LIMBECK_ISA_FLAGS_avx512 ${LIMBECK_ISA_FLAGS_avx2} -mavx512f -mavx512cd -mavx512bw -mavx512dq -mavx512vl)
set(LIMBECK_ISA_FLAGS_avx512_bf16 ${LIMBECK_ISA_FLAGS_avx512} -mavx512bf16)
set(LIMBECK_ISA_FLAGS_amx ${LIMBECK_ISA_FLAGS_avx512_bf16} -mamx-tile -mamx-int8 -mamx-bf16)
function(limbeck_set_isa_flags)
  foreach(source ${ARGN})
    if(source MATCHES "_(avx2|avx512|avx512_bf16|amx)\\.cpp$")
      set_source_files_properties("${source}" PROPERTIES SKIP_PRECOMPILE_HEADERS ON
                                  COMPILE_OPTIONS "${LIMBECK_ISA_FLAGS_${CMAKE_MATCH_1}};-O2;-ffp-contract=off;-Wno-maybe-uninitialized")
    endif()
  endforeach()
endfunction()

# libtorch's headers without its libraries.
add_library(limbeck_torch_headers INTERFACE)
target_include_directories(limbeck_torch_headers SYSTEM INTERFACE
                           "$<TARGET_PROPERTY:Libtorch::Libtorch,INTERFACE_INCLUDE_DIRECTORIES>")
target_compile_definitions(limbeck_torch_headers INTERFACE
                           "$<TARGET_PROPERTY:Libtorch::Libtorch,INTERFACE_COMPILE_DEFINITIONS>")
include(Fmt)

# Precompiled headers. ATen.h costs 8 s a file, precompiled still 1.3 s, since g++ instantiates anew what the inline code of
# a header needs; the header of tensors alone costs 0.4 s. So there are two, and each source gets the one that it needs.
file(WRITE "${PROJECT_BINARY_DIR}/precompiled.cpp.in" "// Compiled only to make a precompiled header.\n")
configure_file("${PROJECT_BINARY_DIR}/precompiled.cpp.in" "${PROJECT_BINARY_DIR}/precompiled.cpp" COPYONLY)

# limbeck_precompiled_headers(NAME LINKS target... [HEADERS header...])
#   Makes NAME_tensors, with ATen's tensors, and NAME_operators, with all operators, both with fmt and HEADERS, compiled
#   as sources are that link LINKS.
function(limbeck_precompiled_headers name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "LINKS;HEADERS")
  foreach(kind tensors operators)
    add_library(${name}_${kind} OBJECT "${PROJECT_BINARY_DIR}/precompiled.cpp")
    target_link_libraries(${name}_${kind} PRIVATE ${arg_LINKS})
  endforeach()
  target_precompile_headers(${name}_tensors PRIVATE <ATen/core/Tensor.h> <fmt/format.h> <fmt/ranges.h> ${arg_HEADERS})
  target_precompile_headers(${name}_operators PRIVATE <ATen/ATen.h> <fmt/format.h> <fmt/ranges.h> ${arg_HEADERS})
endfunction()

# limbeck_precompile(TARGET NAME): the sources of TARGET use the headers NAME, each the one that suits its #include lines.
# CMake knows one precompiled header a target: that of operators; the other is named in the options of its sources.
function(limbeck_precompile target name)
  target_precompile_headers(${target} REUSE_FROM ${name}_operators)
  if(CMAKE_DISABLE_PRECOMPILE_HEADERS OR NOT CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    return()
  endif()
  get_target_property(folder ${name}_tensors BINARY_DIR)
  set(header "${folder}/CMakeFiles/${name}_tensors.dir/cmake_pch.hxx")
  add_dependencies(${target} ${name}_tensors)
  get_target_property(sources ${target} SOURCES)
  list(FILTER sources INCLUDE REGEX "\\.cpp$")
  list(FILTER sources EXCLUDE REGEX "_(avx2|avx512|avx512_bf16|amx)\\.cpp$")  # other flags than the header's
  foreach(source ${sources})
    file(STRINGS "${source}" operators REGEX "^#include <(ATen|torch)/")
    list(FILTER operators EXCLUDE REGEX "<ATen/(core/(Tensor|grad_mode)|Parallel|Version)\\.h>")
    if(NOT operators)
      set_source_files_properties("${source}" PROPERTIES SKIP_PRECOMPILE_HEADERS ON OBJECT_DEPENDS "${header}.gch"
                                  COMPILE_OPTIONS "-Winvalid-pch;-include;${header}")
    endif()
  endforeach()
endfunction()

limbeck_precompiled_headers(limbeck_precompiled
                            LINKS limbeck_own_code limbeck_headers Libtorch::Libtorch limbeck_torch_fmt)
