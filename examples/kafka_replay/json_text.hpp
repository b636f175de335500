// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/batch.hpp>

#include <charconv>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace replay {

using bulkhead::append_json_string;
using bulkhead::is_utf8;

/// Whether a JSON string cannot hold this byte as it is.
[[nodiscard]] constexpr bool is_special(unsigned char byte) noexcept {
    return byte < 0x20 || byte == '"' || byte == '\\';
}
/// The position of the first such byte from `at` on; the size when there is none. Eight bytes a step.
[[nodiscard]] inline std::size_t next_special(std::string_view text, std::size_t at) noexcept {
    constexpr std::uint64_t ones = 0x0101'0101'0101'0101U;
    // The top bit of each byte below a limit: subtracting the limit borrows from that bit, and it was not set before.
    const auto below = [](std::uint64_t bytes, std::uint64_t limit) {
        return (bytes - ones * limit) & ~bytes & (ones << 7U);
    };
    for (; text.size() - at >= sizeof(std::uint64_t); at += sizeof(std::uint64_t)) {
        std::uint64_t word = 0;
        std::memcpy(&word, text.data() + at, sizeof word);
        if ((below(word, 0x20) | below(word ^ (ones * '"'), 1) | below(word ^ (ones * '\\'), 1)) != 0) break;
    }
    while (at < text.size() && !is_special(static_cast<unsigned char>(text[at]))) ++at;
    return at;
}

/// Appends an integer's digits.
template <std::integral Integer>
void append_number(std::string& out, Integer value) {
    char digits[32]; // NOLINT: enough for any 64-bit integer
    const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
    out.append(digits, end);
}

} // namespace replay
