// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "json_text.hpp"

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>

namespace replay {

/// A JSON value that is neither an object nor an array; null, or no value at all, is the first.
using Scalar = std::variant<std::monostate, bool, std::int64_t, std::uint64_t, double, std::string_view>;

[[nodiscard]] inline bool is_null(const Scalar& value) noexcept { return value.index() == 0; }

/// As text; `held` keeps what had to be made. Nothing for null.
[[nodiscard]] inline std::optional<std::string_view> text_of(const Scalar& value, std::string& held) {
    if (const auto* text = std::get_if<std::string_view>(&value)) return *text;
    return std::visit(
        [&held](const auto& scalar) -> std::optional<std::string_view> {
            using T = std::decay_t<decltype(scalar)>;
            if constexpr (std::is_same_v<T, std::monostate>) {
                return std::nullopt;
            } else if constexpr (std::is_same_v<T, bool>) {
                return scalar ? "true" : "false";
            } else if constexpr (std::is_same_v<T, std::string_view>) {
                return scalar;
            } else {
                held.clear();
                append_number(held, scalar);
                return held;
            }
        },
        value);
}

/// An integer, also as a string of digits.
[[nodiscard]] inline std::optional<std::int64_t> integer_of(const Scalar& value) noexcept {
    if (const auto* number = std::get_if<std::int64_t>(&value)) return *number;
    const auto* text = std::get_if<std::string_view>(&value);
    if (text == nullptr) return std::nullopt;
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), number);
    if (error != std::errc{} || end != text->data() + text->size()) return std::nullopt;
    return number;
}

/// Appends it as JSON.
inline void append_json(std::string& out, const Scalar& value) {
    if (const auto* text = std::get_if<std::string_view>(&value)) return append_json_string(out, *text);
    std::string held;
    out += text_of(value, held).value_or("null");
}

} // namespace replay
