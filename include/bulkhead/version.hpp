// SPDX-License-Identifier: BSL-1.0
#pragma once

/// The version of these headers, and what they need of the compiler and of Boost, said before anything else fails.
/// Versions follow Semantic Versioning; before 1.0.0 a new minor version may break what compiled, a new patch never.
/// This is the one place where the version is written: the build, the packages and their check read it from here.

#include <boost/version.hpp>

#include <string_view>

#define BULKHEAD_VERSION_MAJOR 0
#define BULKHEAD_VERSION_MINOR 1
#define BULKHEAD_VERSION_PATCH 0

/// The version as one number that grows, for `#if`: 10,000 times major, 100 times minor, patch.
#define BULKHEAD_VERSION (BULKHEAD_VERSION_MAJOR * 10000 + BULKHEAD_VERSION_MINOR * 100 + BULKHEAD_VERSION_PATCH)

#if __cplusplus < 202002L
#error "bulkhead needs C++20: -std=c++20, or target_compile_features(your_target PRIVATE cxx_std_20)"
#endif
#if BOOST_VERSION < 108100
#error "bulkhead needs Boost 1.81 or newer; on Debian 12: libboost1.81-dev libboost-json1.81-dev libboost-url1.81-dev"
#endif

#define BULKHEAD_DETAIL_TEXT_OF(x) #x
#define BULKHEAD_DETAIL_TEXT(x) BULKHEAD_DETAIL_TEXT_OF(x)

/// The version as text, e.g. `"0.1.0"`.
#define BULKHEAD_VERSION_STRING                                                                                        \
    BULKHEAD_DETAIL_TEXT(BULKHEAD_VERSION_MAJOR)                                                                       \
    "." BULKHEAD_DETAIL_TEXT(BULKHEAD_VERSION_MINOR) "." BULKHEAD_DETAIL_TEXT(BULKHEAD_VERSION_PATCH)

namespace bulkhead::inline v1 {

/// `BULKHEAD_VERSION_STRING`: the version of the headers that this translation unit was compiled with.
inline constexpr std::string_view library_version = BULKHEAD_VERSION_STRING;

} // namespace bulkhead::inline v1
