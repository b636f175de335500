// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <charconv>
#include <concepts>
#include <string>
#include <string_view>

namespace replay {

/// Appends `text` as a JSON string, quotes included. `text` must be valid UTF-8; everything beyond ASCII stays as it
/// is.
inline void append_json_string(std::string& out, std::string_view text) {
    constexpr std::string_view hex = "0123456789abcdef";
    out += '"';
    std::size_t begin = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto byte = static_cast<unsigned char>(text[i]);
        if (byte >= 0x20 && byte != '"' && byte != '\\') continue;
        out += text.substr(begin, i - begin);
        begin = i + 1;
        out += '\\';
        switch (byte) {
        case '"': out += '"'; break;
        case '\\': out += '\\'; break;
        case '\n': out += 'n'; break;
        case '\t': out += 't'; break;
        case '\r': out += 'r'; break;
        default:
            out += "u00";
            out += hex[byte >> 4U];
            out += hex[byte & 0xFU];
        }
    }
    out += text.substr(begin);
    out += '"';
}

/// Appends a number in its shortest form that reads back the same.
template <class Number>
requires(std::integral<Number> || std::floating_point<Number>) void append_number(std::string& out, Number value) {
    char digits[32]; // NOLINT: enough for any 64-bit integer or double
    const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
    out.append(digits, end);
}

} // namespace replay
