// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

/// Dates as HTTP writes them. Pure.
namespace bulkhead::inline v1::detail {

/// Reads a date (RFC 9110, 5.6.7) in the preferred form, `Wed, 21 Oct 2026 07:28:00 GMT`, or in one of the two obsolete
/// ones, `Wednesday, 21-Oct-26 07:28:00 GMT` and `Wed Oct 21 07:28:00 2026`. A year of two digits is the one that is at
/// most 50 years after `now`. The name of the weekday is not compared with the date. Absent when it is none of these.
[[nodiscard]] inline std::optional<std::chrono::sys_seconds>
parse_http_date(std::string_view text, std::chrono::system_clock::time_point now) {
    // One pattern for each form: D day, N month's name, Y year, h m s the time, w any letter, all else as it is.
    std::string long_form = "w, DD-NNN-YY hh:mm:ss GMT"; // the weekday in full
    const auto comma = std::min(text.find(','), text.size());
    if (comma >= 6 && comma <= 9) long_form.insert(0, comma - 1, 'w');
    for (const std::string_view pattern : {std::string_view{"www, DD NNN YYYY hh:mm:ss GMT"},
                                           std::string_view{long_form}, std::string_view{"www NNN DD hh:mm:ss YYYY"}}) {
        if (pattern.size() != text.size()) continue;
        bool fits = true;
        const auto number = [&](char what) {
            const auto from = pattern.find(what);
            auto digits = text.substr(from, pattern.find_last_of(what) + 1 - from);
            if (what == 'D' && pattern[3] == ' ' && digits.front() == ' ') digits.remove_prefix(1); // asctime's blank
            int value = 0;
            const bool all = std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
            std::from_chars(digits.data(), digits.data() + digits.size(), value);
            fits = fits && all;
            return value;
        };
        for (std::size_t i = 0; i < pattern.size(); ++i) {
            const bool letter = (text[i] >= 'A' && text[i] <= 'Z') || (text[i] >= 'a' && text[i] <= 'z');
            if (pattern[i] == 'w') fits = fits && letter;
            if (std::string_view{"wDNYhms"}.find(pattern[i]) == std::string_view::npos)
                fits = fits && text[i] == pattern[i];
        }
        constexpr std::string_view months = "JanFebMarAprMayJunJulAugSepOctNovDec";
        const auto month = months.find(text.substr(pattern.find('N'), 3));
        int year = number('Y');
        if (pattern.find("YYYY") == std::string_view::npos) {
            const std::chrono::year_month_day today{std::chrono::floor<std::chrono::days>(now)};
            const int this_year = static_cast<int>(today.year());
            year += this_year - this_year % 100;
            if (year > this_year + 50) year -= 100;
            if (year <= this_year - 50) year += 100;
        }
        const int day = number('D');
        const int hours = number('h');
        const int minutes = number('m');
        const int seconds = number('s');
        if (!fits || month == std::string_view::npos || month % 3 != 0) continue;
        const std::chrono::year_month_day date{std::chrono::year{year},
                                               std::chrono::month{static_cast<unsigned>(month / 3 + 1)},
                                               std::chrono::day{static_cast<unsigned>(day)}};
        if (!date.ok() || hours > 23 || minutes > 59 || seconds > 60) continue;
        return std::chrono::sys_days{date} + std::chrono::hours{hours} + std::chrono::minutes{minutes} +
               std::chrono::seconds{seconds};
    }
    return std::nullopt;
}

} // namespace bulkhead::inline v1::detail
