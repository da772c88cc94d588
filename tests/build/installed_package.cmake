# cmake -P script: the installed package serves a project that knows nothing of our sources.
set(prefix "${BUILD_DIR}/installed/prefix")
set(project_build "${BUILD_DIR}/installed/project")
file(REMOVE_RECURSE "${BUILD_DIR}/installed")

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "${ARGN}\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

run("${CMAKE_COMMAND}" --install "${BUILD_DIR}" --prefix "${prefix}")
# The sources' own headers must not be found by chance: the project lies elsewhere.
file(COPY "${SOURCE_DIR}/examples/cmake_project" DESTINATION "${BUILD_DIR}/installed")
run("${CMAKE_COMMAND}" -S "${BUILD_DIR}/installed/cmake_project" -B "${project_build}" -G "${GENERATOR}"
    "-DCMAKE_PREFIX_PATH=${prefix}" "-DCMAKE_CXX_COMPILER=${CXX}")
run("${CMAKE_COMMAND}" --build "${project_build}")
run("${project_build}/hello_limbeck" "${BUILD_DIR}/installed/hello.lmb")
if(NOT output MATCHES "loss" OR NOT EXISTS "${BUILD_DIR}/installed/hello.lmb")
  message(FATAL_ERROR "hello_limbeck printed: ${output}")
endif()
run("${prefix}/bin/limbeck" --version)
run("${prefix}/bin/limbeck" show "${BUILD_DIR}/installed/hello.lmb")
