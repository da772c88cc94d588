# The programs: the command line tool, benchmarks, examples.

# limbeck_program(TARGET): compiled and linked as ours are, with the libraries' precompiled header: that one was made with
# -fPIC, which an executable's -fPIE must then not replace.
function(limbeck_program target)
  target_link_libraries(${target} PRIVATE limbeck_own_code limbeck_all)
  set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
  target_compile_options(${target} PRIVATE -fPIC)
  limbeck_precompile(${target} limbeck_precompiled)
endfunction()

limbeck_sources_of(cli cli_sources)
if(cli_sources)
  add_executable(limbeck_cli ${cli_sources})
  set_target_properties(limbeck_cli PROPERTIES OUTPUT_NAME limbeck RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}")
  limbeck_program(limbeck_cli)
  target_link_libraries(limbeck_cli PRIVATE CLI11::CLI11)
  target_compile_definitions(limbeck_cli PRIVATE LIMBECK_VERSION="${PROJECT_VERSION}")
endif()

# bench/loader_bench.cpp becomes bench/loader_bench, bench/model_speed/server.cpp bench/model_speed_server. The target
# `bench` builds them all; in a tree with tests they are part of everything, so that they cannot rot.
add_custom_target(bench)
limbeck_sources_of(bench bench_sources)
foreach(source ${bench_sources})
  file(RELATIVE_PATH name "${PROJECT_SOURCE_DIR}/bench" "${source}")
  string(REGEX REPLACE "\\.cpp$" "" name "${name}")
  string(REPLACE "/" "_" name "${name}")
  add_executable(${name} ${source})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bench")
  limbeck_program(${name})
  add_dependencies(bench ${name})
  if(NOT LIMBECK_BUILD_TESTS)
    set_target_properties(${name} PROPERTIES EXCLUDE_FROM_ALL ON)
  endif()
endforeach()

# examples/01_train_from_pt2.cpp becomes examples/01_train_from_pt2; tests/examples/entries.cmake runs them.
if(LIMBECK_BUILD_TESTS)
  file(GLOB example_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/examples/*.cpp")
  foreach(source ${example_sources})
    get_filename_component(name "${source}" NAME_WE)
    add_executable(example_${name} ${source})
    set_target_properties(example_${name} PROPERTIES OUTPUT_NAME ${name}
                          RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/examples")
    limbeck_program(example_${name})
  endforeach()
endif()
