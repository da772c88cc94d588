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

# libtorch's headers without its libraries.
add_library(limbeck_torch_headers INTERFACE)
target_include_directories(limbeck_torch_headers SYSTEM INTERFACE
                           "$<TARGET_PROPERTY:Libtorch::Libtorch,INTERFACE_INCLUDE_DIRECTORIES>")
target_compile_definitions(limbeck_torch_headers INTERFACE
                           "$<TARGET_PROPERTY:Libtorch::Libtorch,INTERFACE_COMPILE_DEFINITIONS>")
include(Fmt)

# One precompiled header for all folders that see libtorch: ATen.h costs 8 s a file, precompiled under one.
file(WRITE "${PROJECT_BINARY_DIR}/pch/library_pch.cpp.in" "// Compiled only to make the precompiled header.\n")
configure_file("${PROJECT_BINARY_DIR}/pch/library_pch.cpp.in" "${PROJECT_BINARY_DIR}/pch/library_pch.cpp" COPYONLY)
add_library(limbeck_library_pch OBJECT "${PROJECT_BINARY_DIR}/pch/library_pch.cpp")
target_link_libraries(limbeck_library_pch PRIVATE limbeck_own_code limbeck_headers Libtorch::Libtorch limbeck_torch_fmt)
target_precompile_headers(limbeck_library_pch PRIVATE <ATen/ATen.h> <fmt/format.h> <fmt/ranges.h>)
