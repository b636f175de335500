// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstddef>
#include <string_view>

/// The source line of an operation: white space around the document, and newlines within it. Pure functions.
namespace bulkhead::inline v1::detail {

/// The document without the white space around it.
[[nodiscard]] constexpr std::string_view trim_json_space(std::string_view text) noexcept {
    constexpr std::string_view space = " \t\r\n";
    if (!text.empty() && text.front() == '{' && text.back() == '}') return text; // nearly always
    const auto first = text.find_first_not_of(space);
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(space) - first + 1);
}

/// Whether a newline stands inside a string. There it is not white space, and JSON does not allow it.
[[nodiscard]] constexpr bool has_newline_in_string(std::string_view source) noexcept {
    bool quoted = false;
    for (std::size_t at = 0; (at = source.find_first_of(quoted ? "\"\\\n" : "\"", at)) != std::string_view::npos;
         ++at) {
        if (source[at] == '\n') return true;
        if (source[at] == '\\') {
            ++at; // the escaped character; a newline is none
            if (at < source.size() && source[at] == '\n') return true;
        } else {
            quoted = !quoted;
        }
    }
    return false;
}

} // namespace bulkhead::inline v1::detail
