// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/kafka/rdkafka/detail/loop/token_bucket.hpp>

using bulkhead::kafka::detail::TokenBucket;
using namespace std::chrono_literals;

TEST_CASE("a token bucket lets through what its rate says, whatever the steps of time", "[token_bucket]") {
    const auto rate = GENERATE(1U, 7U, 1000U, 250'000U);
    const auto step = GENERATE(1ms, 17ms, 50ms);
    TokenBucket bucket{rate};
    TokenBucket::time_point now{1h};
    std::uint64_t passed = 0;
    constexpr auto seconds = 60;
    for (const auto end = now + std::chrono::seconds{seconds}; now < end; now += step) {
        const auto n = bucket.available(now);
        CHECK(n <= std::max<std::size_t>(2, rate / 10)); // no burst longer than a tenth of a second
        for (std::size_t i = 0; i < n; ++i) bucket.take();
        passed += n;
    }
    const auto wanted = static_cast<double>(rate) * seconds;
    CHECK(static_cast<double>(passed) >= wanted * 0.98 - 1);
    CHECK(static_cast<double>(passed) <= wanted * 1.02 + 2);
}

TEST_CASE("an empty token bucket says how long to wait, and no rate is no limit", "[token_bucket]") {
    TokenBucket bucket{10};
    TokenBucket::time_point now{1h};
    REQUIRE(bucket.available(now) == 2);
    bucket.take();
    bucket.take();
    CHECK(bucket.available(now) == 0);
    CHECK(bucket.wait() == 100ms);
    now += 100ms;
    CHECK(bucket.available(now) == 1);
    CHECK(bucket.wait() == 0ns);
    TokenBucket none{0};
    none.take();
    CHECK(none.available(now) == SIZE_MAX);
    CHECK(none.wait() == 0ns);
}
