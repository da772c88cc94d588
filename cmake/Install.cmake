# Installs the folders' libraries as one, the headers, the command line tool, and the files of find_package(Limbeck).
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

get_property(folder_libraries GLOBAL PROPERTY LIMBECK_LIBRARIES)
list(TRANSFORM folder_libraries REPLACE "(.+)" "$<TARGET_OBJECTS:\\1>" OUTPUT_VARIABLE folder_objects)
add_library(limbeck_package STATIC ${folder_objects})
set_target_properties(limbeck_package PROPERTIES OUTPUT_NAME limbeck LINKER_LANGUAGE CXX)

set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/Limbeck")
set(LIMBECK_INSTALLED_LIBRARY "${CMAKE_INSTALL_LIBDIR}/${CMAKE_STATIC_LIBRARY_PREFIX}limbeck.a")
configure_package_config_file(
  "${PROJECT_SOURCE_DIR}/cmake/LimbeckConfig.cmake.in" "${PROJECT_BINARY_DIR}/LimbeckConfig.cmake"
  INSTALL_DESTINATION "${package_dir}" PATH_VARS LIMBECK_INSTALLED_LIBRARY CMAKE_INSTALL_INCLUDEDIR)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/LimbeckConfigVersion.cmake" COMPATIBILITY SameMinorVersion)

install(TARGETS limbeck_package ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(DIRECTORY limbeck DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" FILES_MATCHING PATTERN "*.h")
install(FILES "${PROJECT_BINARY_DIR}/LimbeckConfig.cmake" "${PROJECT_BINARY_DIR}/LimbeckConfigVersion.cmake"
              "${PROJECT_SOURCE_DIR}/cmake/FindLibtorch.cmake"
        DESTINATION "${package_dir}")
install(FILES LICENSE NOTICE DESTINATION "${CMAKE_INSTALL_DOCDIR}")
if(TARGET limbeck_cli)
  set_target_properties(limbeck_cli PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON)
  install(TARGETS limbeck_cli RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
endif()
