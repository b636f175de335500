// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "scalar.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

/// When an event happened. All times are milliseconds since 1970-01-01T00:00:00Z.
namespace replay {

/// The earliest time that is believed: 2000-01-01T00:00:00Z.
inline constexpr std::int64_t earliest_ms = 946'684'800'000;
/// How far ahead of the ingesting clock a time may be and is still believed: one day.
inline constexpr std::int64_t most_ahead_ms = 86'400'000;

/// A count since the epoch whose unit is told by its size: below 10^11 seconds, below 10^14 milliseconds, below 10^17
/// microseconds, otherwise nanoseconds. (10^11 s is the year 5138, 10^11 ms is 1973.)
[[nodiscard]] std::optional<std::int64_t> epoch_to_ms(std::int64_t count) noexcept;
[[nodiscard]] std::optional<std::int64_t> epoch_to_ms(double count) noexcept;

/// `YYYY-MM-DD`, optionally `T` or a space and `hh:mm[:ss[.fraction]]`, optionally `Z` or an offset `±hh[[:]mm]`.
/// Without an offset it is UTC. Digits beyond milliseconds are cut off.
[[nodiscard]] std::optional<std::int64_t> parse_iso8601_ms(std::string_view text) noexcept;

/// An event's `timestamp` member: a number, a string of digits, or ISO 8601. When it is missing, unreadable or absurd
/// (before `earliest_ms`, or more than a day ahead of `now_ms`) the record's own time is taken, and when that is
/// missing too (Kafka says -1) or absurd, `now_ms`.
[[nodiscard]] std::int64_t resolve_timestamp(const Scalar& timestamp, std::int64_t record_ms,
                                             std::int64_t now_ms) noexcept;

/// Appends e.g. `2024-05-01T12:30:00.123Z`. `ms` must lie in the years 0 to 9999.
void append_iso8601(std::string& out, std::int64_t ms);

} // namespace replay
