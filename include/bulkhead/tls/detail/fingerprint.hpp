// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>

/// The fingerprint of a certificate. Pure.
namespace bulkhead::inline v1::detail {

using Fingerprint = std::array<unsigned char, 32>; ///< SHA-256

/// 64 hexadecimal digits, in pairs with or without colons between them.
[[nodiscard]] inline std::optional<Fingerprint> parse_fingerprint(std::string_view text) noexcept {
    const auto digit = [](char c) {
        if (c >= '0' && c <= '9') return c - '0';
        if (c >= 'a' && c <= 'f') return c - 'a' + 10;
        if (c >= 'A' && c <= 'F') return c - 'A' + 10;
        return -1;
    };
    Fingerprint out{};
    const std::size_t step = text.size() == out.size() * 3 - 1 ? 3 : 2;
    if (text.size() != out.size() * step - (step - 2)) return std::nullopt;
    for (std::size_t i = 0; i < out.size(); ++i) {
        const int high = digit(text[i * step]);
        const int low = digit(text[i * step + 1]);
        if (high < 0 || low < 0 || (i != 0 && step == 3 && text[i * step - 1] != ':')) return std::nullopt;
        out[i] = static_cast<unsigned char>(high * 16 + low);
    }
    return out;
}

} // namespace bulkhead::inline v1::detail
