// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

/// Text as JSON takes it. Pure functions.
namespace bulkhead::inline v1 {

namespace detail {

/// Eight bytes as a number, the first in the lowest place.
[[nodiscard]] inline std::uint64_t eight_bytes(const void* from) noexcept {
    std::uint64_t word = 0;
    std::memcpy(&word, from, sizeof word);
    if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap64(word);
    return word;
}
inline constexpr std::uint64_t one_in_each = 0x0101010101010101U;
inline constexpr std::uint64_t top_of_each = one_in_each << 7U;

[[nodiscard]] constexpr bool must_escape(unsigned char byte) noexcept {
    return byte < 0x20 || byte == '"' || byte == '\\';
}
/// The top bit of the first of these eight bytes that a JSON string cannot hold as it is; above it anything, and 0 when
/// it can hold them all. A byte is below a limit where subtracting it borrows from the top bit, and that was not set.
[[nodiscard]] constexpr std::uint64_t must_escape(std::uint64_t word) noexcept {
    const auto below = [](std::uint64_t bytes, std::uint64_t limit) {
        return (bytes - one_in_each * limit) & ~bytes & top_of_each;
    };
    return below(word, 0x20) | below(word ^ (one_in_each * '"'), 1) | below(word ^ (one_in_each * '\\'), 1);
}
/// The position of the first byte from `at` on that a JSON string cannot hold as it is; the size when there is none.
[[nodiscard]] inline std::size_t next_to_escape(std::string_view text, std::size_t at) noexcept {
    for (; text.size() - at >= 8; at += 8) {
        if (const auto found = must_escape(eight_bytes(text.data() + at)); found != 0)
            return at + static_cast<std::size_t>(std::countr_zero(found)) / 8;
    }
    while (at < text.size() && !must_escape(static_cast<unsigned char>(text[at]))) ++at;
    return at;
}

} // namespace detail

/// Whether the bytes are valid UTF-8 (no overlong forms, no surrogates, nothing above U+10FFFF).
[[nodiscard]] inline bool is_utf8(std::string_view text) noexcept {
    const auto* at = reinterpret_cast<const unsigned char*>(text.data());
    const auto* const end = at + text.size();
    const auto continues = [&](int index) { return (at[index] & 0xC0U) == 0x80U; };
    while (at != end) {
        const unsigned lead = *at;
        const auto left = end - at;
        if (lead < 0x80) {
            const bool ascii = left >= 8 && (detail::eight_bytes(at) & detail::top_of_each) == 0;
            at += ascii ? 8 : 1;
        } else if (lead >= 0xC2 && lead < 0xE0 && left >= 2 && continues(1)) {
            at += 2;
        } else if (lead >= 0xE0 && lead < 0xF0 && left >= 3 && continues(1) && continues(2) &&
                   !(lead == 0xE0 && at[1] < 0xA0) && !(lead == 0xED && at[1] > 0x9F)) {
            at += 3;
        } else if (lead >= 0xF0 && lead < 0xF5 && left >= 4 && continues(1) && continues(2) && continues(3) &&
                   !(lead == 0xF0 && at[1] < 0x90) && !(lead == 0xF4 && at[1] > 0x8F)) {
            at += 4;
        } else {
            return false;
        }
    }
    return true;
}

/// Appends `text` as a JSON string, quotes included, to anything with `append(std::string_view)`. The text must be
/// valid UTF-8, which stays as it is. For writers of documents: `std::string` is such an output.
template <class Output>
void append_json_string(Output& out, std::string_view text) {
    constexpr std::string_view hex = "0123456789abcdef";
    out.append(std::string_view{"\""});
    for (std::size_t clean = 0;;) {
        const auto at = detail::next_to_escape(text, clean);
        out.append(text.substr(clean, at - clean));
        if (at == text.size()) break;
        const auto byte = static_cast<unsigned char>(text[at]);
        std::array<char, 6> escape{'\\', text[at], '0', '0', hex[byte >> 4U], hex[byte & 0xFU]};
        std::size_t length = 2;
        switch (text[at]) {
        case '"':
        case '\\': break;
        case '\n': escape[1] = 'n'; break;
        case '\r': escape[1] = 'r'; break;
        case '\t': escape[1] = 't'; break;
        default: escape[1] = 'u'; length = escape.size();
        }
        out.append(std::string_view{escape.data(), length});
        clean = at + 1;
    }
    out.append(std::string_view{"\""});
}

} // namespace bulkhead::inline v1
