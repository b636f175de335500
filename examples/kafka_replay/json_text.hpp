// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/json_text.hpp>

#include <charconv>
#include <concepts>
#include <string>
#include <string_view>

namespace replay {

using bulkhead::append_json_string;

/// Appends a number in its shortest form that reads back the same.
template <class Number>
requires(std::integral<Number> || std::floating_point<Number>) void append_number(std::string& out, Number value) {
    char digits[32]; // NOLINT: enough for any 64-bit integer or double
    const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
    out.append(digits, end);
}

} // namespace replay
