# SPDX-License-Identifier: BSL-1.0
# Finds libdeflate by its own package file (since 1.15), by pkg-config or by name, and defines libdeflate::libdeflate.
include(FindPackageHandleStandardArgs)

find_package(libdeflate ${libdeflate_FIND_VERSION} CONFIG QUIET)
foreach(kind IN ITEMS shared static)
    if(TARGET libdeflate::libdeflate_${kind} AND NOT TARGET libdeflate::libdeflate)
        add_library(libdeflate::libdeflate INTERFACE IMPORTED)
        target_link_libraries(libdeflate::libdeflate INTERFACE libdeflate::libdeflate_${kind})
    endif()
endforeach()
if(libdeflate_CONFIG AND TARGET libdeflate::libdeflate)
    find_package_handle_standard_args(libdeflate CONFIG_MODE)
    return()
endif()

find_package(PkgConfig QUIET)
if(PKG_CONFIG_FOUND)
    pkg_check_modules(PC_LIBDEFLATE QUIET libdeflate)
endif()
find_path(libdeflate_INCLUDE_DIR libdeflate.h HINTS ${PC_LIBDEFLATE_INCLUDE_DIRS})
find_library(libdeflate_LIBRARY deflate HINTS ${PC_LIBDEFLATE_LIBRARY_DIRS})
mark_as_advanced(libdeflate_INCLUDE_DIR libdeflate_LIBRARY)

if(libdeflate_INCLUDE_DIR)
    file(STRINGS "${libdeflate_INCLUDE_DIR}/libdeflate.h" version_line REGEX "^#define LIBDEFLATE_VERSION_STRING")
    if(version_line MATCHES "\"([0-9.]+)\"")
        set(libdeflate_VERSION "${CMAKE_MATCH_1}")
    endif()
endif()

find_package_handle_standard_args(
    libdeflate
    REQUIRED_VARS libdeflate_LIBRARY libdeflate_INCLUDE_DIR
    VERSION_VAR libdeflate_VERSION)

if(libdeflate_FOUND AND NOT TARGET libdeflate::libdeflate)
    add_library(libdeflate::libdeflate UNKNOWN IMPORTED)
    set_target_properties(
        libdeflate::libdeflate PROPERTIES IMPORTED_LOCATION "${libdeflate_LIBRARY}" INTERFACE_INCLUDE_DIRECTORIES
                                                                                    "${libdeflate_INCLUDE_DIR}")
endif()
