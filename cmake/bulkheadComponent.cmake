# SPDX-License-Identifier: BSL-1.0
# Declares the library's targets. Not installed.
include(GNUInstallDirs)

set(BULKHEAD_CONFIG_DIR "${CMAKE_INSTALL_LIBDIR}/cmake/bulkhead")
set(BULKHEAD_PKGCONFIG_DIR "${CMAKE_INSTALL_DATADIR}/pkgconfig")
# pkg-config's directories are relative to its file, so that an installed tree can be moved.
file(RELATIVE_PATH pkgconfig_to_prefix "${CMAKE_INSTALL_FULL_DATADIR}/pkgconfig" "${CMAKE_INSTALL_PREFIX}")
string(REGEX REPLACE "/$" "" pkgconfig_to_prefix "${pkgconfig_to_prefix}")
foreach(variable IN ITEMS includedir libdir)
    string(TOUPPER ${variable} kind)
    set(pkgconfig_${variable} "\${prefix}")
    cmake_path(APPEND pkgconfig_${variable} "${CMAKE_INSTALL_${kind}}")
endforeach()

# bulkhead_component(<name> HEADERS <regular expression> DEPENDS <target>... DESCRIPTION <text> REQUIRES <package>...)
#
# The target bulkhead::<name> with those of bulkhead_headers whose paths match, its export, its headers' installation
# and its pkg-config file, which REQUIRES packages of pkg-config beside bulkhead itself. A header belongs to the first
# component that matches; the library itself, `bulkhead`, comes last and takes all others. Where the targets of DEPENDS exist,
# all_verify_interface_header_sets compiles each header alone.
function(bulkhead_component name)
    cmake_parse_arguments(PARSE_ARGV 1 component "" "HEADERS;DESCRIPTION" "DEPENDS;REQUIRES;FIELDS")
    set(target bulkhead)
    set(package bulkhead)
    set(export bulkheadTargets)
    if(NOT name STREQUAL "bulkhead")
        string(SUBSTRING ${name} 0 1 initial)
        string(SUBSTRING ${name} 1 -1 others)
        string(TOUPPER ${initial} initial)
        set(target bulkhead_${name})
        set(package bulkhead-${name})
        set(export bulkhead${initial}${others}Targets)
    endif()

    set(headers ${bulkhead_headers})
    list(FILTER headers INCLUDE REGEX "${component_HEADERS}")
    list(REMOVE_ITEM bulkhead_headers ${headers})
    set(bulkhead_headers ${bulkhead_headers} PARENT_SCOPE)
    list(TRANSFORM headers PREPEND "${include_dir}/")

    add_library(${target} INTERFACE)
    add_library(bulkhead::${name} ALIAS ${target})
    set_target_properties(${target} PROPERTIES EXPORT_NAME ${name} VERIFY_INTERFACE_HEADER_SETS ${PROJECT_IS_TOP_LEVEL})
    target_sources(${target} INTERFACE FILE_SET HEADERS BASE_DIRS "${include_dir}" FILES ${headers})
    target_link_libraries(${target} INTERFACE ${component_DEPENDS})
    foreach(dependency IN LISTS component_DEPENDS)
        if(NOT TARGET ${dependency} AND NOT dependency STREQUAL "bulkhead")
            set_target_properties(${target} PROPERTIES VERIFY_INTERFACE_HEADER_SETS OFF)
        endif()
    endforeach()
    install(TARGETS ${target} EXPORT ${export} FILE_SET HEADERS DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
    install(EXPORT ${export} NAMESPACE bulkhead:: DESTINATION "${BULKHEAD_CONFIG_DIR}")

    list(JOIN component_FIELDS "\n" fields)
    if(component_REQUIRES)
        list(JOIN component_REQUIRES ", " requires)
        set(fields "Requires: bulkhead = ${PROJECT_VERSION}, ${requires}")
    endif()
    configure_file("${PROJECT_SOURCE_DIR}/cmake/bulkhead.pc.in" ${package}.pc @ONLY)
    install(FILES "${CMAKE_CURRENT_BINARY_DIR}/${package}.pc" DESTINATION "${BULKHEAD_PKGCONFIG_DIR}")
endfunction()
