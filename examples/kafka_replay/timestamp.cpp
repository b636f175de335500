// SPDX-License-Identifier: BSL-1.0
#include "timestamp.hpp"

#include <charconv>
#include <chrono>
#include <cmath>

namespace replay {

namespace {

constexpr std::int64_t second = 1000;
constexpr std::int64_t day = 86'400 * second;

/// Reads the digits of a date from the left.
class Reader {
public:
    explicit Reader(std::string_view text) noexcept : text_{text} {}
    [[nodiscard]] bool done() const noexcept { return text_.empty(); }
    [[nodiscard]] bool take(char expected) noexcept {
        if (text_.empty() || text_.front() != expected) return false;
        text_.remove_prefix(1);
        return true;
    }
    [[nodiscard]] bool next_is_digit() const noexcept { return !text_.empty() && is_digit(text_.front()); }
    /// Exactly `count` digits, or nothing.
    [[nodiscard]] std::optional<int> digits(std::size_t count) noexcept {
        if (text_.size() < count) return std::nullopt;
        int value = 0;
        for (std::size_t i = 0; i < count; ++i) {
            if (!is_digit(text_[i])) return std::nullopt;
            value = value * 10 + (text_[i] - '0');
        }
        text_.remove_prefix(count);
        return value;
    }
    /// One digit or more, as thousandths; what is finer is cut off.
    [[nodiscard]] std::optional<int> thousandths() noexcept {
        if (!next_is_digit()) return std::nullopt;
        int value = 0;
        for (int weight = 100; next_is_digit(); weight /= 10) {
            value += (text_.front() - '0') * weight;
            text_.remove_prefix(1);
        }
        return value;
    }

private:
    static bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
    std::string_view text_;
};

std::optional<std::int64_t> read_date(Reader& in) noexcept {
    const auto year = in.digits(4);
    if (!year || !in.take('-')) return std::nullopt;
    const auto month = in.digits(2);
    if (!month || !in.take('-')) return std::nullopt;
    const auto day_of_month = in.digits(2);
    if (!day_of_month) return std::nullopt;
    const std::chrono::year_month_day date{std::chrono::year{*year}, std::chrono::month{static_cast<unsigned>(*month)},
                                           std::chrono::day{static_cast<unsigned>(*day_of_month)}};
    if (!date.ok()) return std::nullopt;
    return std::chrono::sys_days{date}.time_since_epoch().count() * day;
}

std::optional<std::int64_t> read_time(Reader& in) noexcept {
    const auto hour = in.digits(2);
    if (!hour || *hour > 23 || !in.take(':')) return std::nullopt;
    const auto minute = in.digits(2);
    if (!minute || *minute > 59) return std::nullopt;
    std::int64_t time = (*hour * 60 + *minute) * 60 * second;
    if (!in.take(':')) return time;
    const auto seconds = in.digits(2);
    if (!seconds || *seconds > 60) return std::nullopt; // 60: a leap second, counted as the next one
    time += *seconds * second;
    if (!in.take('.') && !in.take(',')) return time;
    const auto fraction = in.thousandths();
    if (!fraction) return std::nullopt;
    return time + *fraction;
}

std::optional<std::int64_t> read_offset(Reader& in) noexcept {
    if (in.take('Z') || in.take('z')) return 0;
    const bool behind = in.take('-');
    if (!behind && !in.take('+')) return std::nullopt;
    const auto hours = in.digits(2);
    if (!hours || *hours > 18) return std::nullopt;
    int minutes = 0;
    if (in.take(':') || in.next_is_digit()) {
        const auto read = in.digits(2);
        if (!read || *read > 59) return std::nullopt;
        minutes = *read;
    }
    const std::int64_t offset = (*hours * 60 + minutes) * 60 * second;
    return behind ? -offset : offset;
}

std::optional<std::int64_t> from_scalar(const Scalar& value) noexcept {
    if (std::holds_alternative<bool>(value)) return std::nullopt;
    const auto text = text_of(value).value_or("");
    if (std::holds_alternative<std::string_view>(value)) {
        if (auto iso = parse_iso8601_ms(text)) return iso;
    } else if (const auto count = integer_of(value)) {
        return epoch_to_ms(*count);
    }
    double number = 0; // above 2^63 nanoseconds no time is believed anyway
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return epoch_to_ms(number);
}

bool believable(std::int64_t ms, std::int64_t now_ms) noexcept {
    return ms >= earliest_ms && ms <= now_ms + most_ahead_ms;
}

} // namespace

std::optional<std::int64_t> epoch_to_ms(std::int64_t count) noexcept {
    if (count < 0) return std::nullopt;
    if (count < 100'000'000'000) return count * 1000;
    if (count < 100'000'000'000'000) return count;
    if (count < 100'000'000'000'000'000) return count / 1000;
    return count / 1'000'000;
}

std::optional<std::int64_t> epoch_to_ms(double count) noexcept {
    if (!(count >= 0) || count > 9e18) return std::nullopt;
    if (count < 1e11) return static_cast<std::int64_t>(std::floor(count * 1000 + 1e-6));
    return epoch_to_ms(static_cast<std::int64_t>(count));
}

std::optional<std::int64_t> parse_iso8601_ms(std::string_view text) noexcept {
    Reader in{text};
    const auto date = read_date(in);
    if (!date || in.done()) return date;
    if (!in.take('T') && !in.take('t') && !in.take(' ')) return std::nullopt;
    const auto time = read_time(in);
    if (!time) return std::nullopt;
    if (in.done()) return *date + *time;
    const auto offset = read_offset(in);
    if (!offset || !in.done()) return std::nullopt;
    return *date + *time - *offset;
}

std::int64_t resolve_timestamp(const Scalar& timestamp, std::int64_t record_ms, std::int64_t now_ms) noexcept {
    const auto ms = from_scalar(timestamp);
    if (ms && believable(*ms, now_ms)) return *ms;
    return believable(record_ms, now_ms) ? record_ms : now_ms;
}

void append_iso8601(std::string& out, std::int64_t ms) {
    const std::chrono::sys_time<std::chrono::milliseconds> time{std::chrono::milliseconds{ms}};
    const auto days = std::chrono::floor<std::chrono::days>(time);
    const std::chrono::year_month_day date{days};
    const auto of_day = (time - days).count();
    char text[] = "0000-00-00T00:00:00.000Z"; // NOLINT
    const auto put = [&](std::size_t last, std::int64_t value, int digits) {
        for (; digits > 0; --digits, value /= 10) text[last--] = static_cast<char>('0' + value % 10);
    };
    put(3, static_cast<int>(date.year()), 4);
    put(6, static_cast<unsigned>(date.month()), 2);
    put(9, static_cast<unsigned>(date.day()), 2);
    put(12, of_day / 3'600'000, 2);
    put(15, of_day / 60'000 % 60, 2);
    put(18, of_day / 1000 % 60, 2);
    put(22, of_day % 1000, 3);
    out.append(text, sizeof text - 1);
}

} // namespace replay
