// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <string>

/// Catch2, version 2 (one header) or 3.

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
inline auto contains(const std::string& text) { return Catch::Matchers::ContainsSubstring(text); }
#else
#include <catch2/catch.hpp>
inline auto contains(const std::string& text) { return Catch::Contains(text); }
#endif
