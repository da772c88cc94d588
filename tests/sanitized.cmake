# Readers of untrusted files under AddressSanitizer and UndefinedBehaviorSanitizer, beside the ordinary build: their
# sources and tests are compiled once more, instrumented, and linked before the ordinary libraries, so that each of them
# replaces its twin there and the rest stays as it is.
#   core_asan_test     the readers of core, without libtorch
#   readers_asan_test  the readers above core, on libtorch
set(asan_core_sources "^limbeck/core/(error|file|json|safetensors|utf8)")
set(asan_core_tests "^tests/core/(error|file|json|safetensors|utf8)[^/]*_test.cpp$")
set(asan_reader_sources
    "^limbeck/(graph/weights/|graph/capture/|graph/lmb|graph/text|graph/parse|data/(idx|image_|jpeg_|png_)|recipe/(read|schema|yaml))")
set(asan_reader_tests
    "^tests/(graph/weights/[^/]*|(graph|graph/capture|data|recipe)/[^/]*(fuzz|reader|idx|image_file|lmb)[^/]*_test).cpp$")
set(asan_slow_tests "_slow_test.cpp$")

# The sources of the repository that match `pattern`, as absolute paths.
function(limbeck_asan_sources pattern result)
  set(found ${LIMBECK_ALL_SOURCES})
  list(FILTER found INCLUDE REGEX "${pattern}")
  list(FILTER found EXCLUDE REGEX "${asan_slow_tests}")
  list(TRANSFORM found PREPEND "${PROJECT_SOURCE_DIR}/")
  set(${result} ${found} PARENT_SCOPE)
endfunction()

add_library(limbeck_asan_code INTERFACE)
target_link_libraries(limbeck_asan_code INTERFACE limbeck_test_code)
target_compile_options(limbeck_asan_code INTERFACE ${LIMBECK_SANITIZE_FLAGS})
target_link_options(limbeck_asan_code INTERFACE ${LIMBECK_SANITIZE_FLAGS})

# limbeck_asan_test(NAME SOURCES...): the binary, an entry with few mutations, and a slow one with 100,000 a reader.
function(limbeck_asan_test name)
  add_executable(${name} ${ARGN} ${support_sources})
  target_link_libraries(${name} PRIVATE limbeck_asan_code GTest::gtest_main)
  limbeck_test_entry(${name} COMMAND ${name})
  limbeck_test_entry(${name}_100000 COMMAND ${name} --gtest_filter=*Fuzz* SLOW_S 600)
  foreach(entry ${name} ${name}_100000)
    # A request beyond 512 MB is more than any reader's stated limit.
    set_property(TEST ${entry} APPEND PROPERTY ENVIRONMENT
                 "ASAN_OPTIONS=max_allocation_size_mb=512:strict_string_checks=1:detect_stack_use_after_return=1"
                 "UBSAN_OPTIONS=print_stacktrace=1")
  endforeach()
  set_property(TEST ${name} APPEND PROPERTY ENVIRONMENT "LIMBECK_FUZZ_ITERATIONS=500")
  set_property(TEST ${name}_100000 APPEND PROPERTY ENVIRONMENT "LIMBECK_FUZZ_ITERATIONS=100000")
endfunction()

limbeck_asan_sources("${asan_core_tests}" core_tests)
if(core_tests)
  limbeck_asan_sources("${asan_core_sources}" core_sources)
  limbeck_asan_test(core_asan_test ${core_sources} ${core_tests})
  target_link_libraries(core_asan_test PRIVATE limbeck_core limbeck_system_fmt)
endif()

limbeck_asan_sources("${asan_reader_tests}" reader_tests)
if(reader_tests)
  add_library(limbeck_asan_pch OBJECT "${PROJECT_BINARY_DIR}/pch/library_pch.cpp")
  target_link_libraries(limbeck_asan_pch PRIVATE limbeck_asan_code limbeck_torch_headers limbeck_torch_fmt)
  target_precompile_headers(limbeck_asan_pch PRIVATE <ATen/ATen.h> <fmt/format.h> <gtest/gtest.h>)

  limbeck_asan_sources("${asan_reader_sources}" reader_sources)
  limbeck_asan_test(readers_asan_test ${reader_sources} ${reader_tests})
  target_precompile_headers(readers_asan_test REUSE_FROM limbeck_asan_pch)
  target_link_libraries(readers_asan_test PRIVATE limbeck_all)
endif()
