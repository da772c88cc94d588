# Compiles through ccache where that is asked for (LIMBECK_USE_CCACHE) and installed. Its cache stays inside the build tree unless the user has named one.
find_program(LIMBECK_CCACHE ccache)
if(LIMBECK_USE_CCACHE AND LIMBECK_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(_ccache_environment CCACHE_SLOPPINESS=pch_defines,time_macros)
  if(NOT DEFINED ENV{CCACHE_DIR})
    list(APPEND _ccache_environment CCACHE_DIR=${PROJECT_SOURCE_DIR}/build/ccache)
  endif()
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CMAKE_COMMAND}" -E env ${_ccache_environment} "${LIMBECK_CCACHE}")
endif()
