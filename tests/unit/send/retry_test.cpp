// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/detail/send/retry.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <limits>
#include <string_view>

using namespace bulkhead;
using namespace std::chrono_literals;

namespace {
constexpr std::uint64_t any_random[] = {0, 1, 12345678901234567ULL, std::numeric_limits<std::uint64_t>::max() - 1,
                                        std::numeric_limits<std::uint64_t>::max()};

std::chrono::sys_seconds time_of(int year, unsigned month, unsigned day, std::chrono::seconds of_day) {
    return std::chrono::sys_days{std::chrono::year{year} / std::chrono::month{month} / std::chrono::day{day}} + of_day;
}
} // namespace

TEST_CASE("backoff stays within its bounds for any number of failures", "[retry][F070]") {
    const RetryOptions options[] = {{},
                                    {.initial_backoff = 1ms, .max_backoff = 1ms},
                                    {.initial_backoff = 1ms, .max_backoff = 24h},
                                    {.initial_backoff = 1h, .max_backoff = 24h},
                                    {.initial_backoff = 3ms, .max_backoff = 7ms}};
    for (const auto& o : options) {
        for (const std::uint32_t failures :
             {0U, 1U, 2U, 3U, 10U, 31U, 32U, 33U, 63U, 64U, 65U, 1'000'000U, 0xFFFFFFFFU}) {
            for (const auto random : any_random) {
                CAPTURE(o.initial_backoff.count(), o.max_backoff.count(), failures, random);
                const auto wait = backoff(o, failures, random);
                CHECK(wait >= o.initial_backoff / 10); // never a hot loop
                CHECK(wait > 0ns);
                CHECK(wait <= o.max_backoff);
                if (failures <= 1) CHECK(wait <= o.initial_backoff);
                if (failures == 2) CHECK(wait <= o.initial_backoff * 2);
            }
        }
    }
}

TEST_CASE("backoff's bound doubles up to the limit, and draws reach all of it", "[retry][F070][F072]") {
    const RetryOptions options{.initial_backoff = 100ms, .max_backoff = 1000ms};
    Jitter jitter{42};
    const std::chrono::nanoseconds bounds[] = {100ms, 200ms, 400ms, 800ms, 1000ms, 1000ms};
    for (std::uint32_t failures = 1; failures <= 6; ++failures) {
        std::array<int, 10> hits{};
        auto least = std::chrono::nanoseconds::max();
        auto most = 0ns;
        for (int i = 0; i < 10'000; ++i) {
            const auto wait = backoff(options, failures, jitter());
            least = std::min(least, wait);
            most = std::max(most, wait);
            const auto part = (wait - 10ms) * 10 / (bounds[failures - 1] - 10ms);
            ++hits[static_cast<std::size_t>(std::min<std::int64_t>(part, 9))];
        }
        CAPTURE(failures);
        CHECK(most <= bounds[failures - 1]);
        CHECK(most > bounds[failures - 1] * 99 / 100);
        CHECK(least < 10ms + bounds[failures - 1] / 100);
        double chi_squared = 0;
        for (const int n : hits) chi_squared += (n - 1000.0) * (n - 1000.0) / 1000.0;
        CHECK(chi_squared < 33.7); // 9 degrees of freedom, p = 0.0001; the seed is fixed
    }
}

TEST_CASE("jitter is the same from the same seed, and differs from object to object", "[retry][F072]") {
    Jitter a{7};
    Jitter b{7};
    Jitter c{8};
    const auto first = a();
    CHECK(first == b());
    CHECK(first != c());
    CHECK(a() != first);
    Jitter x;
    Jitter y;
    CHECK(x() != y());
}

TEST_CASE("Retry-After is seconds or a date; anything else is as if it were absent", "[retry][F071][F231]") {
    const auto now = time_of(2026, 10, 21, 7h + 27min + 30s);
    const auto parse = [&](std::string_view text) { return parse_retry_after(text, now); };
    CHECK(parse("5") == 5s);
    CHECK(parse("0") == 0s);
    CHECK(parse(" \t120 ") == 120s);
    CHECK(parse("007") == 7s);
    CHECK(parse("Wed, 21 Oct 2026 07:28:00 GMT") == 30s);
    CHECK(parse("Thu, 22 Oct 2026 07:27:30 GMT") == 24h);
    CHECK(parse("Wed, 21 Oct 2026 07:27:30 GMT") == 0s);
    CHECK(parse("Wed, 21 Oct 2026 07:27:00 GMT") == 0s);
    CHECK(parse("Thu, 01 Jan 1970 00:00:00 GMT") == 0s);
    CHECK(parse("Sat, 01 Jan 0000 00:00:00 GMT") == 0s);
    CHECK(parse("Tue, 29 Feb 2028 00:00:00 GMT").has_value());
    INFO("the two obsolete forms");
    CHECK(parse("Wednesday, 21-Oct-26 07:28:00 GMT") == 30s);
    CHECK(parse("Friday, 23-Oct-26 07:27:30 GMT") == 48h);
    CHECK(parse("Wed Oct 21 07:28:00 2026") == 30s);
    CHECK(parse("Sun Nov  1 07:27:30 2026") == 24h * 11);
    CHECK(parse("Sunday, 06-Nov-94 08:49:37 GMT") == 0s);                // 1994
    CHECK(*parse("Tuesday, 01-Jan-75 00:00:00 GMT") > 24h * 365 * 48);   // 2075
    CHECK(*parse("Wednesday, 01-Jan-76 00:00:00 GMT") > 24h * 365 * 49); // 2076, the last one
    CHECK(parse("Saturday, 01-Jan-77 00:00:00 GMT") == 0s);              // 1977

    for (const auto* huge : {"1000000000000", "9223372036854775807", "9223372036854775808",
                             "99999999999999999999999999999999999999", "Fri, 31 Dec 9999 23:59:60 GMT"}) {
        CAPTURE(huge);
        REQUIRE(parse(huge).has_value());
        CHECK(*parse(huge) > 24h * 365 * 100);
    }
    for (const auto* none : {"",
                             " ",
                             "-1",
                             "+5",
                             "1e9",
                             "5.5",
                             "5s",
                             "abc",
                             "5, 7",
                             "0x10",
                             "Wed, 21 Oct 2026 07:28:00",
                             "GMT",
                             "Wed, 21 Oct 2026 07:28:00 UTC",
                             "Wed, 21 Foo 2026 07:28:00 GMT",
                             "Wed, 21 anF 2026 07:28:00 GMT",
                             "Wed, 32 Oct 2026 07:28:00 GMT",
                             "Wed, 30 Feb 2026 07:28:00 GMT",
                             "Wed, 00 Oct 2026 07:28:00 GMT",
                             "Wed, 21 Oct 2026 24:00:00 GMT",
                             "Wed, 21 Oct 2026 07:60:00 GMT",
                             "Wed, 21 Oct 2026 07:28:61 GMT",
                             "Wed, -1 Oct 2026 07:28:00 GMT",
                             "Wed, 21 Oct 2026 07:28:+1 GMT",
                             "Wednesday, 21-Oct-2026 07:28:00 GMT",
                             "Wednesday 21-Oct-26 07:28:00 GMT",
                             "Wed, 21-Oct-26 07:28:00 GMT",
                             "Wednesday, 21-Oct-26 07:28:00",
                             "Wednesday, -1-Oct-26 07:28:00 GMT",
                             "Wednesday, 31-Sep-26 07:28:00 GMT",
                             "W3dnesday, 21-Oct-26 07:28:00 GMT",
                             "Wed Oct 21 07:28:00 26",
                             "Wed Oct 1 07:28:00 2026",
                             "Wed Oct 32 07:28:00 2026",
                             "Wed Oct  0 07:28:00 2026",
                             "Wed, Oct 21 07:28:00 2026",
                             "Wed Oct 21 07:28:00 2026 GMT",
                             "Wed Oct 21 07: 8:00 2026",
                             "Wed, 21 Oct 2026 07.28.00 GMT"}) {
        CAPTURE(none);
        CHECK_FALSE(parse(none).has_value());
    }
}

TEST_CASE("a part of a second counts as a whole one, and no time of day overflows", "[retry][F071]") {
    const auto half_past = std::chrono::system_clock::time_point{time_of(2026, 10, 21, 7h + 27min + 30s)} + 500ms;
    CHECK(parse_retry_after("Wed, 21 Oct 2026 07:27:31 GMT", half_past) == 1s);
    for (const auto now : {std::chrono::system_clock::time_point::min(), std::chrono::system_clock::time_point::max(),
                           std::chrono::system_clock::time_point{}}) {
        for (const auto* date : {"Fri, 31 Dec 9999 23:59:59 GMT", "Sat, 01 Jan 0000 00:00:00 GMT"}) {
            const auto wait = parse_retry_after(date, now);
            REQUIRE(wait.has_value());
            CHECK(*wait >= 0s);
        }
    }
}

TEST_CASE("a server's wish is kept within reason", "[retry][F071]") {
    const RetryOptions options{.max_backoff = 30s};
    CHECK(clamp_retry_after(5s, options) == 5s);
    CHECK(clamp_retry_after(0s, options) == 0s);
    CHECK(clamp_retry_after(-5s, options) == 0s);
    CHECK(clamp_retry_after(30s, options) == 30s);
    CHECK(clamp_retry_after(31s, options) == 30s);
    CHECK(clamp_retry_after(std::chrono::seconds::max(), options) == 30s);
    CHECK(clamp_retry_after(std::chrono::seconds::min(), options) == 0s);
    CHECK(clamp_retry_after(1s, {.max_backoff = 500ms}) == 500ms);
    CHECK(clamp_retry_after(2s, {.max_backoff = 2500ms}) == 2s);
}
