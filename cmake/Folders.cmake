# The folders of limbeck/ as libraries. One row a folder: what it may include (docs: DESIGN's folder table, checked by
# tests/support/layering) is also what it links, so that the layering is the link graph.

# limbeck_folder(FOLDER [TORCH] [USES folder...] [LINKS target...])
#   Makes the static library limbeck_<folder, slashes as underscores> of limbeck/FOLDER's sources, or, while the folder
#   has none, an interface library that only passes its uses on.
#   TORCH: the folder sees libtorch's headers.
function(limbeck_folder folder)
  cmake_parse_arguments(PARSE_ARGV 1 arg "TORCH" "" "USES;LINKS")
  string(REPLACE "/" "_" name "${folder}")
  set(target limbeck_${name})
  limbeck_sources_of("limbeck/${folder}" sources)
  if(sources)
    add_library(${target} STATIC ${sources})
    limbeck_set_isa_flags(${sources})
    set(scope PUBLIC)
    target_link_libraries(${target} PRIVATE limbeck_own_code)
    set_property(GLOBAL APPEND PROPERTY LIMBECK_LIBRARIES ${target})
    if(arg_TORCH)
      limbeck_precompile(${target} limbeck_precompiled)
    else()
      target_link_libraries(${target} PRIVATE limbeck_system_fmt)
    endif()
  else()
    add_library(${target} INTERFACE)
    set(scope INTERFACE)
  endif()
  list(TRANSFORM arg_USES REPLACE "/" "_")
  list(TRANSFORM arg_USES PREPEND limbeck_)
  target_link_libraries(${target} ${scope} limbeck_headers ${arg_USES} ${arg_LINKS})
  if(arg_TORCH)
    target_link_libraries(${target} ${scope} Libtorch::Libtorch limbeck_torch_fmt)
  endif()
  set_property(GLOBAL APPEND PROPERTY LIMBECK_FOLDERS "${folder}")
endfunction()

# All sources of the repository, found in one place so that a new folder or file is noticed by the next build.
file(GLOB_RECURSE LIMBECK_ALL_SOURCES CONFIGURE_DEPENDS RELATIVE "${PROJECT_SOURCE_DIR}"
     "${PROJECT_SOURCE_DIR}/limbeck/*.cpp" "${PROJECT_SOURCE_DIR}/cli/*.cpp" "${PROJECT_SOURCE_DIR}/tests/*.cpp"
     "${PROJECT_SOURCE_DIR}/examples/*.cpp" "${PROJECT_SOURCE_DIR}/bench/*.cpp")

# Sub-folders of limbeck/ that are libraries of their own.
set(LIMBECK_NESTED_FOLDERS limbeck/graph/weights limbeck/graph/capture limbeck/graph/passes)

# The sources under `folder`, without those of its sub-folders that are libraries of their own.
function(limbeck_sources_of folder result)
  set(sources ${LIMBECK_ALL_SOURCES})
  list(FILTER sources INCLUDE REGEX "^${folder}/")
  foreach(nested ${LIMBECK_NESTED_FOLDERS})
    if(NOT nested STREQUAL folder)
      list(FILTER sources EXCLUDE REGEX "^${nested}/")
    endif()
  endforeach()
  list(TRANSFORM sources PREPEND "${PROJECT_SOURCE_DIR}/")
  set(${result} ${sources} PARENT_SCOPE)
endfunction()

limbeck_folder(core LINKS nlohmann_json::nlohmann_json limbeck_spdlog)
limbeck_folder(graph/weights TORCH USES core)
limbeck_folder(graph TORCH USES core graph/weights)
limbeck_folder(graph/passes TORCH USES graph)
limbeck_folder(graph/capture TORCH USES graph graph/passes)
limbeck_folder(model TORCH USES graph graph/passes)
limbeck_folder(engine USES core)
limbeck_folder(compile TORCH USES model engine)
limbeck_folder(zoo TORCH USES graph)
limbeck_folder(load TORCH USES zoo graph/capture model)
limbeck_folder(data TORCH USES core LINKS JPEG::JPEG PNG::PNG ZLIB::ZLIB)
limbeck_folder(measure TORCH USES model compile data)
limbeck_folder(train TORCH USES model data measure)
limbeck_folder(distill TORCH USES train compile)
limbeck_folder(prune TORCH USES model compile measure)
limbeck_folder(quantize TORCH USES model compile measure)
limbeck_folder(search TORCH USES model compile measure)
limbeck_folder(export TORCH USES graph)
limbeck_folder(report TORCH USES measure)
limbeck_folder(recipe TORCH USES load distill prune quantize search export report LINKS ${LIMBECK_YAML_TARGET})

# All folders together.
add_library(limbeck_all INTERFACE)
get_property(LIMBECK_FOLDERS GLOBAL PROPERTY LIMBECK_FOLDERS)
list(TRANSFORM LIMBECK_FOLDERS REPLACE "/" "_" OUTPUT_VARIABLE _folder_targets)
list(TRANSFORM _folder_targets PREPEND limbeck_)
target_link_libraries(limbeck_all INTERFACE ${_folder_targets})
