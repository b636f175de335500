// SPDX-License-Identifier: BSL-1.0
#include "kafka_replay/timestamp.hpp"

#include "support/catch.hpp"

#include <boost/json/parse.hpp>

#include <string>

using namespace replay;

namespace {
constexpr std::int64_t t = 1'714'566'600'123; // 2024-05-01T12:30:00.123Z
constexpr std::int64_t asked_at = t + 3'600'000;
constexpr std::int64_t recorded_at = t - 5'000;

std::int64_t resolve(const std::string& json) {
    const auto value = boost::json::parse(json);
    Scalar scalar; // what has no scalar stays null
    if (value.is_bool()) scalar = value.get_bool();
    if (value.is_number()) scalar = Number{json};
    if (value.is_string()) scalar = std::string_view{value.get_string().data(), value.get_string().size()};
    return resolve_timestamp(scalar, recorded_at, asked_at);
}
} // namespace

TEST_CASE("an epoch's unit is told by its size") {
    CHECK(resolve("1714566600") == 1'714'566'600'000);
    CHECK(resolve("1714566600123") == t);
    CHECK(resolve("1714566600123456") == t);
    CHECK(resolve("1714566600123456789") == t);
    CHECK(resolve("1714566600.123") == t);
    CHECK(resolve("\"1714566600123\"") == t);
    CHECK(resolve("\"1714566600.123\"") == t);
    CHECK(epoch_to_ms(std::int64_t{99'999'999'999}) == 99'999'999'999'000);
    CHECK(epoch_to_ms(std::int64_t{100'000'000'000}) == 100'000'000'000);
    CHECK_FALSE(epoch_to_ms(std::int64_t{-1}).has_value());
}

TEST_CASE("ISO 8601 is read with its offset") {
    CHECK(parse_iso8601_ms("2024-05-01T12:30:00.123Z") == t);
    CHECK(parse_iso8601_ms("2024-05-01T14:30:00.123+02:00") == t);
    CHECK(parse_iso8601_ms("2024-05-01T14:30:00.123+0200") == t);
    CHECK(parse_iso8601_ms("2024-05-01T14:30:00,123+02") == t);
    CHECK(parse_iso8601_ms("2024-04-30T23:00:00.123-13:30") == t);
    CHECK(parse_iso8601_ms("2024-05-01 12:30:00.123999999") == t);
    CHECK(parse_iso8601_ms("2024-05-01T12:30") == t - 123);
    CHECK(parse_iso8601_ms("2024-05-01T12:30Z") == t - 123);
    CHECK(parse_iso8601_ms("2024-05-01") == 1'714'521'600'000);
    CHECK(parse_iso8601_ms("2024-02-29") == 1'709'164'800'000);
    CHECK(parse_iso8601_ms("2016-12-31T23:59:60Z") == 1'483'228'800'000); // a leap second
}

TEST_CASE("what is not a time is not read") {
    const auto text = GENERATE(as<std::string>{}, "", "now", "2024", "2024-13-01", "2023-02-29", "2024-05-01T",
                               "2024-05-01T24:00", "2024-05-01T12", "2024-05-01T12:60", "2024-05-01T12:30:61",
                               "2024-05-01T12:30:00.", "2024-05-01T12:30:00+", "2024-05-01T12:30:00+2",
                               "2024-05-01T12:30:00+02:", "2024-05-01T12:30:00Zulu", "2024-05-01X12:30", "24-05-01");
    CAPTURE(text);
    CHECK_FALSE(parse_iso8601_ms(text).has_value());
}

TEST_CASE("a missing or absurd time gives way to the record's own") {
    CHECK(resolve_timestamp({}, recorded_at, asked_at) == recorded_at);
    const auto* const absurd = GENERATE("null", "true", "{}", "[]", "\"\"", "\"yesterday\"", "0", "-5", "1e300", "12",
                                        "\"1985-01-01\"", "9999999999999999999", "9223372036854775807", "253402300799");
    CAPTURE(absurd);
    CHECK(resolve(absurd) == recorded_at);
    const auto ahead = std::to_string(asked_at + most_ahead_ms);
    CHECK(resolve_timestamp(Number{ahead}, recorded_at, asked_at) == asked_at + most_ahead_ms);
    const auto too_far = std::to_string(asked_at + most_ahead_ms + 1);
    CHECK(resolve_timestamp(Number{too_far}, recorded_at, asked_at) == recorded_at);
}

TEST_CASE("without a believable record time it is the ingesting clock's") {
    CHECK(resolve_timestamp({}, -1, asked_at) == asked_at);
    CHECK(resolve_timestamp({}, 0, asked_at) == asked_at);
    CHECK(resolve_timestamp({}, asked_at + 2 * most_ahead_ms, asked_at) == asked_at);
}

TEST_CASE("a time is written so that it reads back the same") {
    for (const std::int64_t ms : {std::int64_t{0}, earliest_ms, t, t - 123, std::int64_t{4'102'444'799'999}}) {
        std::string text;
        append_iso8601(text, ms);
        CAPTURE(text);
        CHECK(parse_iso8601_ms(text) == ms);
    }
    std::string text;
    append_iso8601(text, t);
    CHECK(text == "2024-05-01T12:30:00.123Z");
}
