# Installs the build tree into a scratch prefix, then configures, builds and runs examples/cmake_project against it.
limbeck_test_entry(build_installed_package
  COMMAND "${CMAKE_COMMAND}" "-DBUILD_DIR=${PROJECT_BINARY_DIR}" "-DSOURCE_DIR=${PROJECT_SOURCE_DIR}"
          "-DGENERATOR=${CMAKE_GENERATOR}" "-DCXX=${CMAKE_CXX_COMPILER}"
          -P "${CMAKE_CURRENT_LIST_DIR}/installed_package.cmake")
