# SPDX-License-Identifier: BSL-1.0
# bulkhead_find_boost(<version> [GLOBAL]): Boost with JSON and URL, as find_package sets Boost_FOUND; when it is not
# found, BULKHEAD_BOOST_LACKING says what is missing and how it is installed.
macro(bulkhead_find_boost version)
    find_package(Boost ${version} QUIET COMPONENTS json url ${ARGN})
    if(NOT Boost_FOUND)
        set(BULKHEAD_BOOST_LACKING "Boost ${version} or newer with its libraries JSON and URL")
        if(Boost_VERSION_STRING VERSION_GREATER_EQUAL ${version})
            string(APPEND BULKHEAD_BOOST_LACKING ", but only parts of Boost ${Boost_VERSION_STRING} were found")
        elseif(Boost_VERSION_STRING)
            string(APPEND BULKHEAD_BOOST_LACKING ", but found Boost ${Boost_VERSION_STRING}")
        endif()
        string(APPEND BULKHEAD_BOOST_LACKING ". On Debian 12: apt-get install libboost${version}-dev "
               "libboost-json${version}-dev libboost-url${version}-dev; on newer ones: libboost-all-dev. "
               "A Boost elsewhere is found by -DCMAKE_PREFIX_PATH=<where it is installed>.")
    endif()
endmacro()
