// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstddef>
#include <exception>
#include <string>
#include <string_view>

/// Text of others (peers, the network, exceptions) made fit for a log.
namespace bulkhead::inline v1::detail {

/// Replaces control characters (C0, DEL, and C1 as UTF-8 writes it) by spaces: the text stays one line of a log and
/// cannot control a terminal.
inline void blank_controls(std::string& text) noexcept {
    const auto at = [&text](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (at(i) < 0x20 || at(i) == 0x7F) text[i] = ' ';
        if (at(i) == 0xC2 && at(i + 1) >= 0x80 && at(i + 1) < 0xA0) text[i] = text[i + 1] = ' ';
    }
}

/// The part of `text` that fits into `room` bytes without cutting a UTF-8 character in two.
[[nodiscard]] inline std::string_view fitting(std::string_view text, std::size_t room) noexcept {
    if (text.size() <= room) return text;
    while (room > 0 && (static_cast<unsigned char>(text[room]) & 0xC0U) == 0x80U) --room;
    return text.substr(0, room);
}

} // namespace bulkhead::inline v1::detail

namespace bulkhead::inline v1 {

/// Text of a peer, of the network or of a user, fit for a log: at most so many bytes, with spaces for control
/// characters, so that it stays one line and cannot control a terminal. Part of `<bulkhead/error.hpp>`.
[[nodiscard]] inline std::string printable(std::string_view text, std::size_t max_bytes = 256) {
    std::string out{detail::fitting(text, max_bytes)};
    detail::blank_controls(out);
    return out;
}

} // namespace bulkhead::inline v1

namespace bulkhead::inline v1::detail {

using v1::printable;

/// The text of the exception that is being handled, fit for a log.
[[nodiscard]] inline std::string current_error() {
    try {
        throw;
    } catch (const std::exception& error) {
        return printable(error.what());
    } catch (...) {
        return "an exception that is no std::exception";
    }
}

} // namespace bulkhead::inline v1::detail
