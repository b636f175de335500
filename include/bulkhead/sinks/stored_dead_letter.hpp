// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/error.hpp>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include <cerrno>
#include <charconv>
#include <concepts>
#include <cstdint>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

/// Dead letters out of a file that a `FileSink` has written.
namespace bulkhead::inline v1 {

/// A dead letter as it was read back; it owns its texts.
struct StoredDeadLetter {
    std::string time; ///< when it was written, e.g. `2026-11-24T10:00:00Z`
    /// The server's error type, or the name of an `errc`.
    std::string type;
    /// The server's; may be empty.
    std::string reason;
    /// As it was sent; empty for a Kafka record that never became an operation.
    std::string action_line;
    /// As it was sent; empty for a delete.
    std::string source;
    /// The HTTP status at the operation's position; 0 when there was none.
    std::uint16_t status = 0;
    /// How often the server had answered about it.
    std::uint32_t attempts = 0;
    std::optional<std::uint64_t> ticket{}; ///< the key of the operation's ticket
    std::string topic{};                   ///< the Kafka record that it came from; empty: not known
    /// -1: not known.
    std::int32_t partition = -1;
    /// -1: not known.
    std::int64_t offset = -1;
};

namespace detail {
[[nodiscard]] inline std::string from_hex(std::string_view hex) {
    const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
    std::string bytes;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
        bytes += static_cast<char>(digit(hex[i]) * 16 + digit(hex[i + 1]));
    return bytes;
}
} // namespace detail

/// Reads a line that `append_dead_letter` wrote; nothing when it is torn, or something else.
[[nodiscard]] inline std::optional<StoredDeadLetter> parse_dead_letter(std::string_view line) {
    error_code error;
    const auto value = boost::json::parse(boost::json::string_view{line.data(), line.size()}, error);
    if (error || !value.is_object()) return std::nullopt;
    const auto& object = value.get_object();
    const auto text = [&](const char* name) {
        const auto* const found = object.if_contains(name);
        return found != nullptr && found->is_string() ? std::string{found->get_string()} : std::string{};
    };
    const auto number = [&](const char* name) {
        const auto* const found = object.if_contains(name);
        return found != nullptr && found->is_int64() ? std::optional{found->get_int64()} : std::nullopt;
    };
    StoredDeadLetter letter;
    letter.time = text("@timestamp");
    letter.type = text("type");
    letter.reason = text("reason");
    letter.action_line = text("action");
    letter.source = text("source");
    if (object.contains("source_hex")) letter.source = detail::from_hex(text("source_hex"));
    letter.status = static_cast<std::uint16_t>(number("status").value_or(0));
    letter.attempts = static_cast<std::uint32_t>(number("attempts").value_or(0));
    const auto ticket = text("ticket");
    std::uint64_t key = 0;
    if (std::from_chars(ticket.data(), ticket.data() + ticket.size(), key).ec == std::errc{}) letter.ticket = key;
    letter.topic = text("topic");
    letter.partition = static_cast<std::int32_t>(number("partition").value_or(-1));
    letter.offset = number("offset").value_or(-1);
    // A record that never became an operation has none; its place is known.
    if (letter.action_line.empty() && letter.topic.empty()) return std::nullopt;
    return letter;
}

/// What `read_dead_letters` found.
struct DeadLettersRead {
    error_code error;          ///< the file could not be opened or read to its end
    std::uint64_t letters = 0; ///< handed to the function
    std::uint64_t skipped = 0; ///< lines that are no dead letter: torn, or something else
};

/// Reads a dead-letter file line by line, each handed to `take`, a `void(StoredDeadLetter)`, in order.
template <std::invocable<StoredDeadLetter> Take>
DeadLettersRead read_dead_letters(const std::string& path, Take&& take) {
    DeadLettersRead result;
    std::ifstream file{path, std::ios::binary};
    if (!file) {
        result.error = {errno, boost::system::system_category()};
        return result;
    }
    for (std::string line; std::getline(file, line);) {
        auto letter = parse_dead_letter(line);
        if (letter) {
            ++result.letters;
            take(std::move(*letter));
        } else if (!line.empty()) {
            ++result.skipped;
        }
    }
    if (file.bad()) result.error = {errno, boost::system::system_category()};
    return result;
}

} // namespace bulkhead::inline v1
