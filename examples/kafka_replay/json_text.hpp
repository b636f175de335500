// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/text/json_text.hpp>

#include <charconv>
#include <concepts>
#include <string>
#include <string_view>

namespace replay {

using bulkhead::append_json_string;

/// Appends an integer's digits.
template <std::integral Integer>
void append_number(std::string& out, Integer value) {
    char digits[32]; // NOLINT: enough for any 64-bit integer
    const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
    out.append(digits, end);
}

} // namespace replay
