# Everything from outside: libtorch by our own module, the rest as the distribution packages it.
find_package(Libtorch MODULE REQUIRED)
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(CLI11 REQUIRED)
find_package(JPEG REQUIRED)
find_package(PNG REQUIRED)
find_package(ZLIB REQUIRED)

# yaml-cpp names its target differently from 0.8 on.
if(TARGET yaml-cpp::yaml-cpp)
  set(LIMBECK_YAML_TARGET yaml-cpp::yaml-cpp)
else()
  set(LIMBECK_YAML_TARGET yaml-cpp)
endif()

# spdlog header-only over the same fmt as ours: its compiled library would bring a compiled fmt with it.
add_library(limbeck_spdlog INTERFACE)
target_include_directories(limbeck_spdlog SYSTEM INTERFACE
                           "$<TARGET_PROPERTY:spdlog::spdlog,INTERFACE_INCLUDE_DIRECTORIES>")
target_compile_definitions(limbeck_spdlog INTERFACE SPDLOG_FMT_EXTERNAL)
