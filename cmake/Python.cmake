# The Python that the tests compare with and that the Python package is built for.
set(LIMBECK_PYTHON "${PROJECT_SOURCE_DIR}/.venv/bin/python" CACHE FILEPATH "Python with torch, for tests and package")

# Comparing with it, and living in one process with it, needs its torch to be the one that we link.
execute_process(
  COMMAND "${LIMBECK_PYTHON}" -I -c
          "import importlib.util as u; print(u.find_spec('torch').submodule_search_locations[0], end='')"
  OUTPUT_VARIABLE python_torch ERROR_QUIET)
file(REAL_PATH "${Libtorch_DIR_FOUND}" linked_torch)
if(python_torch)
  file(REAL_PATH "${python_torch}" python_torch)
endif()
if(python_torch STREQUAL linked_torch)
  set(LIMBECK_HAS_PYTHON_TORCH ON)
else()
  set(LIMBECK_HAS_PYTHON_TORCH OFF)
endif()

if(LIMBECK_BUILD_TESTS AND LIMBECK_HAS_PYTHON_TORCH AND NOT LIMBECK_SANITIZE)
  set(build_python ON)
else()
  set(build_python OFF)
endif()
option(LIMBECK_BUILD_PYTHON "Build the Python package, for LIMBECK_PYTHON and its torch" ${build_python})
