# SPDX-License-Identifier: BSL-1.0
# Finds prometheus-cpp's core by its own package file or by name, and defines prometheus-cpp::core. By name, since its
# package file also wants what only its HTTP server and its push client need.
include(FindPackageHandleStandardArgs)

find_package(prometheus-cpp CONFIG QUIET)
if(TARGET prometheus-cpp::core)
    find_package_handle_standard_args(prometheus-cpp CONFIG_MODE)
    return()
endif()

find_package(PkgConfig QUIET)
if(PKG_CONFIG_FOUND)
    pkg_check_modules(PC_PROMETHEUS_CPP QUIET prometheus-cpp-core)
endif()
find_path(prometheus-cpp_INCLUDE_DIR prometheus/collectable.h HINTS ${PC_PROMETHEUS_CPP_INCLUDE_DIRS})
find_library(prometheus-cpp_LIBRARY prometheus-cpp-core HINTS ${PC_PROMETHEUS_CPP_LIBRARY_DIRS})
mark_as_advanced(prometheus-cpp_INCLUDE_DIR prometheus-cpp_LIBRARY)

find_package_handle_standard_args(prometheus-cpp REQUIRED_VARS prometheus-cpp_LIBRARY prometheus-cpp_INCLUDE_DIR)

if(prometheus-cpp_FOUND AND NOT TARGET prometheus-cpp::core)
    add_library(prometheus-cpp::core UNKNOWN IMPORTED)
    set_target_properties(
        prometheus-cpp::core PROPERTIES IMPORTED_LOCATION "${prometheus-cpp_LIBRARY}" INTERFACE_INCLUDE_DIRECTORIES
                                                                                      "${prometheus-cpp_INCLUDE_DIR}")
endif()
