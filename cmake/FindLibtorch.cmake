# Finds libtorch without its own TorchConfig.cmake, which demands a CUDA toolkit where the build is a CUDA build although
# nothing of ours needs one. Features are detected in the files found; no version is compared.
#
# Looked for in this order: LIMBECK_TORCH (a libtorch folder, or the folder of Python's `torch` package), then the torch
# of LIMBECK_PYTHON, of `.venv` beside the sources, of python3.
#
# Result: Libtorch_FOUND, Libtorch_DIR_FOUND and the targets
#   Libtorch::Libtorch  headers, libtorch_cpu, libc10, and the cuda or xpu libraries that the build has
#   Libtorch::OpenMP    compiles with OpenMP and links the runtime that libtorch uses: the one shipped beside it, if any.
#                       Two runtimes in one process would be two teams of threads.
include_guard(GLOBAL)

set(LIMBECK_TORCH "" CACHE PATH "Folder of libtorch or of Python's torch package (with include/ and lib/)")

# Folder of the torch package that `python` would import, without importing it (an import takes seconds).
function(_libtorch_of_python python result)
  set(${result} "" PARENT_SCOPE)
  execute_process(
    COMMAND "${python}" -c
            "import importlib.util as u; s = u.find_spec('torch'); print(s.submodule_search_locations[0] if s else '')"
    OUTPUT_VARIABLE folder OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE status)
  if(status EQUAL 0 AND folder)
    set(${result} "${folder}" PARENT_SCOPE)
  endif()
endfunction()

set(_libtorch_root "${LIMBECK_TORCH}")
if(NOT _libtorch_root)
  foreach(_libtorch_python "${LIMBECK_PYTHON}" "${PROJECT_SOURCE_DIR}/.venv/bin/python" python3)
    if(_libtorch_python)
      _libtorch_of_python("${_libtorch_python}" _libtorch_root)
    endif()
    if(_libtorch_root)
      break()
    endif()
  endforeach()
endif()

find_path(Libtorch_INCLUDE_DIR ATen/ATen.h PATHS "${_libtorch_root}/include" NO_DEFAULT_PATH NO_CACHE)
find_library(Libtorch_CPU_LIBRARY torch_cpu PATHS "${_libtorch_root}/lib" NO_DEFAULT_PATH NO_CACHE)
find_library(Libtorch_C10_LIBRARY c10 PATHS "${_libtorch_root}/lib" NO_DEFAULT_PATH NO_CACHE)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(
  Libtorch
  REQUIRED_VARS Libtorch_CPU_LIBRARY Libtorch_C10_LIBRARY Libtorch_INCLUDE_DIR
  REASON_FAILURE_MESSAGE "no libtorch in '${_libtorch_root}'. Run scripts/setup, or name one with -DLIMBECK_TORCH=DIR")
if(NOT Libtorch_FOUND)
  return()
endif()
set(Libtorch_DIR_FOUND "${_libtorch_root}")

set(_libtorch_libraries "${Libtorch_CPU_LIBRARY}" "${Libtorch_C10_LIBRARY}")
set(_libtorch_devices cpu)
foreach(_libtorch_device cuda hip xpu)
  set(_libtorch_device_library "${_libtorch_root}/lib/libtorch_${_libtorch_device}.so")
  if(EXISTS "${_libtorch_device_library}")
    # Nothing of ours refers to a device's library by symbol; its kernels register themselves when it is loaded.
    list(APPEND _libtorch_libraries -Wl,--push-state,--no-as-needed "${_libtorch_device_library}"
         "${_libtorch_root}/lib/libc10_${_libtorch_device}.so" -Wl,--pop-state)
    list(APPEND _libtorch_devices ${_libtorch_device})
  endif()
endforeach()

# Wheels carry an OpenMP runtime of their own, under its plain name or one with a hash in it.
file(GLOB Libtorch_OPENMP_LIBRARY "${_libtorch_root}/lib/libgomp*.so*" "${_libtorch_root}/../torch.libs/libgomp*.so*")
if(Libtorch_OPENMP_LIBRARY)
  list(GET Libtorch_OPENMP_LIBRARY 0 Libtorch_OPENMP_LIBRARY)
endif()

# The string ABI is read off libc10's symbols.
file(STRINGS "${Libtorch_C10_LIBRARY}" _libtorch_new_abi LIMIT_COUNT 1 REGEX "__cxx11")
if(_libtorch_new_abi)
  set(_libtorch_abi 1)
else()
  set(_libtorch_abi 0)
endif()

if(NOT TARGET Libtorch::Libtorch)
  add_library(Libtorch::Libtorch INTERFACE IMPORTED GLOBAL)
  target_include_directories(Libtorch::Libtorch SYSTEM INTERFACE
                             "${Libtorch_INCLUDE_DIR}" "${Libtorch_INCLUDE_DIR}/torch/csrc/api/include")
  target_compile_definitions(Libtorch::Libtorch INTERFACE _GLIBCXX_USE_CXX11_ABI=${_libtorch_abi})
  target_link_libraries(Libtorch::Libtorch INTERFACE ${_libtorch_libraries})
  target_link_options(Libtorch::Libtorch INTERFACE "-Wl,-rpath,${_libtorch_root}/lib")
endif()

if(NOT TARGET Libtorch::OpenMP)
  find_package(OpenMP REQUIRED COMPONENTS CXX)
  add_library(Libtorch::OpenMP INTERFACE IMPORTED GLOBAL)
  separate_arguments(_libtorch_openmp_flags NATIVE_COMMAND "${OpenMP_CXX_FLAGS}")
  target_compile_options(Libtorch::OpenMP INTERFACE ${_libtorch_openmp_flags})
  if(Libtorch_OPENMP_LIBRARY)
    target_link_libraries(Libtorch::OpenMP INTERFACE "${Libtorch_OPENMP_LIBRARY}")
  else()
    target_link_libraries(Libtorch::OpenMP INTERFACE ${OpenMP_CXX_LIBRARIES})
  endif()
endif()
message(STATUS "libtorch: ${_libtorch_root} (${_libtorch_devices}), OpenMP runtime: ${Libtorch_OPENMP_LIBRARY}")
