# SPDX-License-Identifier: BSL-1.0
# Finds librdkafka's C library by its own package file (which vcpkg and Conan have, Debian has not), by pkg-config or by
# name, and defines librdkafka::librdkafka.
include(FindPackageHandleStandardArgs)

find_package(RdKafka ${librdkafka_FIND_VERSION} CONFIG QUIET)
if(RdKafka_CONFIG AND TARGET RdKafka::rdkafka)
    if(NOT TARGET librdkafka::librdkafka)
        add_library(librdkafka::librdkafka INTERFACE IMPORTED)
        target_link_libraries(librdkafka::librdkafka INTERFACE RdKafka::rdkafka)
    endif()
    set(librdkafka_CONFIG "${RdKafka_CONFIG}")
    set(librdkafka_VERSION "${RdKafka_VERSION}")
    find_package_handle_standard_args(librdkafka CONFIG_MODE)
    return()
endif()

find_package(PkgConfig QUIET)
if(PKG_CONFIG_FOUND)
    pkg_check_modules(PC_LIBRDKAFKA QUIET rdkafka)
endif()
find_path(librdkafka_INCLUDE_DIR librdkafka/rdkafka.h HINTS ${PC_LIBRDKAFKA_INCLUDE_DIRS})
find_library(librdkafka_LIBRARY rdkafka HINTS ${PC_LIBRDKAFKA_LIBRARY_DIRS})
mark_as_advanced(librdkafka_INCLUDE_DIR librdkafka_LIBRARY)

# #define RD_KAFKA_VERSION 0x020002ff: one byte each for major, minor, revision and pre-release
if(librdkafka_INCLUDE_DIR)
    file(STRINGS "${librdkafka_INCLUDE_DIR}/librdkafka/rdkafka.h" version_line REGEX "^#define RD_KAFKA_VERSION +0x")
    if(version_line MATCHES "0x([0-9a-fA-F][0-9a-fA-F])([0-9a-fA-F][0-9a-fA-F])([0-9a-fA-F][0-9a-fA-F])")
        math(EXPR librdkafka_MAJOR "0x${CMAKE_MATCH_1}")
        math(EXPR librdkafka_MINOR "0x${CMAKE_MATCH_2}")
        math(EXPR librdkafka_PATCH "0x${CMAKE_MATCH_3}")
        set(librdkafka_VERSION "${librdkafka_MAJOR}.${librdkafka_MINOR}.${librdkafka_PATCH}")
    endif()
endif()

find_package_handle_standard_args(
    librdkafka
    REQUIRED_VARS librdkafka_LIBRARY librdkafka_INCLUDE_DIR
    VERSION_VAR librdkafka_VERSION)

if(librdkafka_FOUND AND NOT TARGET librdkafka::librdkafka)
    add_library(librdkafka::librdkafka UNKNOWN IMPORTED)
    set_target_properties(
        librdkafka::librdkafka PROPERTIES IMPORTED_LOCATION "${librdkafka_LIBRARY}" INTERFACE_INCLUDE_DIRECTORIES
                                                                                    "${librdkafka_INCLUDE_DIR}")
endif()
