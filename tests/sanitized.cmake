# Readers of untrusted files under AddressSanitizer and UndefinedBehaviorSanitizer, beside the ordinary build: their
# sources are compiled once more, instrumented, and linked before the ordinary libraries, so that each replaces its twin
# there and the rest stays as it is. The tests are the ordinary objects of every folder that calls fuzz_reader.
#   core_asan_test          the readers of core, without libtorch; few mutations, and 100,000 as a slow entry
#   readers_asan_test       the other readers, on libtorch; few mutations, and 20,000 as a slow entry
#   readers_asan_slow_test  the same with all that works on what was read; 100,000 mutations a reader
set(core_readers "limbeck/core/(error|utf8|files/|json/)")
set(readers "limbeck/(graph/weights/(pickle/)?|graph/capture/pt2/|graph/lmb|graph/text/(parse|text)"
            "|data/files/(cifar|class_names|encoded_image|idx|image_|jpeg_|npy|orientation|png_)|recipe/(fields|options|read|schema|yaml))")
string(JOIN "" readers ${readers})
set(slow_readers "limbeck/(graph/(text/)?|graph/weights/(pickle/)?|graph/capture/([a-z0-9]*/)?|data/files/(cifar|class_names|encoded_image|idx|image_|jpeg_|npy|orientation|png_)|recipe/)")

# Absolute paths of the repository's sources that begin with `pattern`.
function(limbeck_asan_sources pattern result)
  set(found ${LIMBECK_ALL_SOURCES})
  list(FILTER found INCLUDE REGEX "^${pattern}[^/]*.cpp$")
  list(TRANSFORM found PREPEND "${PROJECT_SOURCE_DIR}/")
  set(${result} ${found} PARENT_SCOPE)
endfunction()

# The objects of the tests in folders that call fuzz_reader: those of core, and the others.
set(core_tests "")
set(reader_tests "")
foreach(source ${sources})
  if(source MATCHES "^tests/support/" OR NOT source MATCHES "_test.cpp$")
    continue()
  endif()
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/${source}")
  file(STRINGS "${PROJECT_SOURCE_DIR}/${source}" calls REGEX "fuzz_reader\\(" LIMIT_COUNT 1)
  if(NOT calls)
    continue()
  endif()
  get_filename_component(folder "${source}" DIRECTORY)
  string(REGEX REPLACE "^tests/" "" folder "${folder}")
  string(REPLACE "/" "_" name "${folder}")
  if(folder STREQUAL "core")
    list(APPEND core_tests "$<TARGET_OBJECTS:${name}_test>")
  else()
    list(APPEND reader_tests "$<TARGET_OBJECTS:${name}_test>")
  endif()
endforeach()
list(REMOVE_DUPLICATES core_tests)
list(REMOVE_DUPLICATES reader_tests)

add_library(limbeck_asan_code INTERFACE)
target_link_libraries(limbeck_asan_code INTERFACE limbeck_test_code)
target_compile_options(limbeck_asan_code INTERFACE ${LIMBECK_SANITIZE_FLAGS})
target_link_options(limbeck_asan_code INTERFACE ${LIMBECK_SANITIZE_FLAGS})

# limbeck_asan_binary(NAME SOURCES...)
#   The standard library comes first: what GoogleTest's archive needs of it, an ordinary twin may have as a copy of its own,
#   and would be linked beside the instrumented one for that.
function(limbeck_asan_binary name)
  add_executable(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE stdc++ limbeck_asan_code limbeck_test_support GTest::gtest_main)
endfunction()

# limbeck_asan_entry(NAME BINARY ITERATIONS [SLOW_S seconds])
function(limbeck_asan_entry name binary iterations)
  limbeck_test_entry(${name} COMMAND ${binary} --gtest_brief=1 ${ARGN})
  # A request beyond 512 MB is more than any reader's stated limit.
  set_property(TEST ${name} APPEND PROPERTY ENVIRONMENT
               "ASAN_OPTIONS=max_allocation_size_mb=512:strict_string_checks=1:detect_stack_use_after_return=1"
               "UBSAN_OPTIONS=print_stacktrace=1" "LIMBECK_FUZZ_ITERATIONS=${iterations}")
endfunction()

if(core_tests)
  limbeck_asan_sources("${core_readers}" core_sources)
  limbeck_asan_binary(core_asan_test ${core_sources} ${core_tests})
  target_link_libraries(core_asan_test PRIVATE limbeck_core limbeck_system_fmt)
  limbeck_asan_entry(core_asan_test core_asan_test 500)
  limbeck_asan_entry(core_asan_slow_test core_asan_test 100000 SLOW_S 60)
endif()

if(reader_tests)
  limbeck_precompiled_headers(limbeck_asan_precompiled
                              LINKS limbeck_asan_code limbeck_torch_headers limbeck_torch_fmt)
  limbeck_asan_sources("${readers}" reader_sources)
  limbeck_asan_sources("${slow_readers}" slow_reader_sources)
  limbeck_asan_binary(readers_asan_test ${reader_sources} ${reader_tests})
  limbeck_asan_binary(readers_asan_slow_test ${slow_reader_sources} ${reader_tests})
  foreach(binary readers_asan_test readers_asan_slow_test)
    limbeck_precompile(${binary} limbeck_asan_precompiled)
    target_link_libraries(${binary} PRIVATE limbeck_all)
  endforeach()
  set_target_properties(readers_asan_slow_test PROPERTIES EXCLUDE_FROM_ALL ON)
  add_dependencies(slow_tests readers_asan_slow_test)
  limbeck_asan_entry(readers_asan_test readers_asan_test 500)
  limbeck_asan_entry(readers_asan_20000_test readers_asan_test 20000 SLOW_S 250)
  limbeck_asan_entry(readers_asan_slow_test readers_asan_slow_test 100000 SLOW_S 900)
endif()
