// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "json_text.hpp"

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace replay {

/// A JSON number as it was written, so that nothing of it is lost: `0.10`, thirty digits, `1e400`.
struct Number {
    std::string_view text;
};

/// A JSON value that is neither an object nor an array; null, or no value at all, is the first.
using Scalar = std::variant<std::monostate, bool, Number, std::string_view>;

[[nodiscard]] inline bool is_null(const Scalar& value) noexcept { return value.index() == 0; }

/// As text: a string's own, a number as it was written. Nothing for null.
[[nodiscard]] inline std::optional<std::string_view> text_of(const Scalar& value) noexcept {
    if (const auto* text = std::get_if<std::string_view>(&value)) return *text;
    if (const auto* number = std::get_if<Number>(&value)) return number->text;
    if (const auto* truth = std::get_if<bool>(&value)) return *truth ? "true" : "false";
    return std::nullopt;
}

/// An integer, also as a string of digits.
[[nodiscard]] inline std::optional<std::int64_t> integer_of(const Scalar& value) noexcept {
    if (std::holds_alternative<bool>(value)) return std::nullopt;
    const auto text = text_of(value).value_or("");
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return number;
}

/// Appends it as JSON.
inline void append_json(std::string& out, const Scalar& value) {
    if (const auto* text = std::get_if<std::string_view>(&value)) return append_json_string(out, *text);
    out += text_of(value).value_or("null");
}

} // namespace replay
