// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/text/http_date.hpp>
#include <bulkhead/detail/util/splitmix64.hpp>
#include <bulkhead/options.hpp>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

/// When to try again. Pure functions; randomness and the time of day come from the caller.
namespace bulkhead::inline v1 {

/// Random numbers for jitter. Not for secrets. The default seed differs from object to object, so that indexers that
/// fail together do not come back together.
class Jitter {
public:
    Jitter() noexcept
        : random_{static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count()) ^
                  (std::uint64_t{reinterpret_cast<std::uintptr_t>(this)} << 17U)} {}
    /// The same seed gives the same numbers.
    explicit Jitter(std::uint64_t seed) noexcept : random_{seed} {}
    /// The next number, any of 64 bits.
    [[nodiscard]] std::uint64_t operator()() noexcept { return random_(); }

private:
    detail::SplitMix64 random_;
};

/// How many operations may be sent again, earned by those that are proven (see `RetryOptions::budget_percent`). Pure.
class RetryBudget {
public:
    /// So many hundredths of a repetition for each proven operation, saved up to `most`.
    RetryBudget(std::uint32_t percent, std::size_t most) noexcept
        : percent_{percent}, most_{static_cast<std::int64_t>(most) * 100}, hundredths_{most_} {}
    /// So many operations were proven.
    void earn(std::size_t proven) noexcept {
        hundredths_ = std::min(hundredths_ + static_cast<std::int64_t>(proven) * percent_, most_);
    }
    /// So many are sent again.
    void spend(std::size_t repeated) noexcept {
        hundredths_ = std::max<std::int64_t>(hundredths_ - static_cast<std::int64_t>(repeated) * 100, 0);
    }
    /// Whether only one request at a time may repeat operations.
    [[nodiscard]] bool used_up() const noexcept { return hundredths_ == 0; }

private:
    std::int64_t percent_;
    std::int64_t most_;
    std::int64_t hundredths_;
};

/// Whether an operation that meets a fault of the server has had its tries: `attempts` and `since`, the time since the
/// first of them, must both have reached their bounds. So an outage in which a server refuses quickly costs nothing.
/// With `max_attempts` 1 the caller repeats by itself, and no time must pass.
[[nodiscard]] constexpr bool attempts_ended(const RetryOptions& options, std::uint32_t attempts,
                                            std::chrono::nanoseconds since) noexcept {
    if (attempts < options.max_attempts) return false;
    return options.max_attempts == 1 || since >= std::min(options.min_retry_time, options.max_age);
}

/// How long to wait after `failures` failures in a row (1 or more): drawn uniformly between a tenth of the initial
/// backoff, so that no draw makes a hot loop, and the bound, which starts at `initial_backoff` and doubles up to
/// `max_backoff`. `random` is any 64 random bits. Never overflows.
[[nodiscard]] inline std::chrono::nanoseconds backoff(const RetryOptions& options, std::uint32_t failures,
                                                      std::uint64_t random) noexcept {
    const auto most = std::chrono::nanoseconds{options.max_backoff}.count();
    auto bound = std::chrono::nanoseconds{options.initial_backoff}.count();
    const auto least = bound / 10;
    for (std::uint32_t i = 1; i < failures && bound < most; ++i) bound = bound > most / 2 ? most : bound * 2;
    bound = std::min(bound, most);
    const auto width = static_cast<std::uint64_t>(std::max<std::int64_t>(bound - least, 0)) + 1;
    return std::chrono::nanoseconds{std::min(least + static_cast<std::int64_t>(random % width), most)};
}

/// A server's wish, within reason: 0 to `max_backoff`.
[[nodiscard]] inline std::chrono::nanoseconds clamp_retry_after(std::chrono::seconds wish,
                                                                const RetryOptions& options) noexcept {
    const auto most = std::chrono::duration_cast<std::chrono::nanoseconds>(options.max_backoff);
    if (wish <= std::chrono::seconds::zero()) return {};
    if (wish > std::chrono::duration_cast<std::chrono::seconds>(most)) return most;
    return wish;
}

/// Reads a `Retry-After` header (RFC 9110 10.2.3): a number of seconds, or a date in any of HTTP's three
/// forms (`Wed, 21 Oct 2026 07:28:00 GMT`), which is taken relative to `now` and is 0 when past. A number too large to
/// hold saturates. Absent when the value is neither.
[[nodiscard]] inline std::optional<std::chrono::seconds> parse_retry_after(std::string_view value,
                                                                           std::chrono::system_clock::time_point now) {
    while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
    while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) value.remove_suffix(1);
    constexpr std::int64_t most = std::int64_t{1} << 32U;
    const auto digits = [](std::string_view text) {
        return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
    };
    const auto number = [most](std::string_view text) {
        std::int64_t n = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
        return error == std::errc{} ? std::min(n, most) : most;
    };
    if (digits(value)) return std::chrono::seconds{number(value)};

    const auto at = detail::parse_http_date(value, now);
    if (!at) return std::nullopt;
    // In whole seconds before the subtraction: nanoseconds hold no more than 292 years.
    return std::clamp(*at - std::chrono::floor<std::chrono::seconds>(now), std::chrono::seconds::zero(),
                      std::chrono::seconds{most});
}

} // namespace bulkhead::inline v1
