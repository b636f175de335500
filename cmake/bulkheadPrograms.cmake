# SPDX-License-Identifier: BSL-1.0
# bulkhead_programs(<program>.cpp... LIBRARIES <target>...)
#
# An executable <program> for each source. Where CMAKE_UNITY_BUILD is on, the programs of one call are compiled as one
# source, each in a namespace of its own after the includes of all: most of the time that one takes is Boost and the
# instantiation of the indexer, and these they share. (`main` is an ordinary function there: it has to return.)
function(bulkhead_programs)
    cmake_parse_arguments(PARSE_ARGV 0 programs "" "" "LIBRARIES")
    list(TRANSFORM programs_UNPARSED_ARGUMENTS REPLACE "\\.cpp$" "" OUTPUT_VARIABLE names)
    if(NOT CMAKE_UNITY_BUILD)
        foreach(name IN LISTS names)
            add_executable(${name} ${name}.cpp)
            target_link_libraries(${name} PRIVATE ${programs_LIBRARIES})
        endforeach()
        return()
    endif()

    set(includes "")
    set(text "inline int run(int (*program)(), int, char**) { return program(); }\n\
inline int run(int (*program)(int, char**), int argc, char** argv) { return program(argc, argv); }\n")
    foreach(name IN LISTS names)
        set(source "${CMAKE_CURRENT_SOURCE_DIR}/${name}.cpp")
        set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${source}")
        file(STRINGS "${source}" lines REGEX "^#include ")
        list(TRANSFORM lines REPLACE "\"(.*)\"" "\"${CMAKE_CURRENT_SOURCE_DIR}/\\1\"")
        list(APPEND includes ${lines})
        string(APPEND text "namespace of_${name} {\n#include \"${source}\"\n}\n\
int ${name}_main(int argc, char** argv) { return run(of_${name}::main, argc, argv); }\n")
    endforeach()
    list(REMOVE_DUPLICATES includes)
    list(JOIN includes "\n" includes)
    list(GET names 0 library)
    set(all "${CMAKE_CURRENT_BINARY_DIR}/${library}_and_others.cpp")
    file(CONFIGURE OUTPUT "${all}" CONTENT "${includes}\n${text}" @ONLY)
    add_library(${library}_and_others STATIC "${all}")
    target_link_libraries(${library}_and_others PUBLIC ${programs_LIBRARIES})
    foreach(name IN LISTS names)
        set(main "${CMAKE_CURRENT_BINARY_DIR}/${name}_main.cpp")
        file(CONFIGURE OUTPUT "${main}" CONTENT "int ${name}_main(int argc, char** argv);\n\
int main(int argc, char** argv) { return ${name}_main(argc, argv); }\n" @ONLY)
        add_executable(${name} "${main}")
        target_link_libraries(${name} PRIVATE ${library}_and_others)
    endforeach()
endfunction()
