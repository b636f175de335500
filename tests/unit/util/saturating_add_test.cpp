// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/detail/util/saturating_add.hpp>
#include <bulkhead/test/manual_clock.hpp>

#include <chrono>

using namespace bulkhead;
using namespace std::chrono_literals;

TEST_CASE("a time point and any duration: later, never, or now, and no overflow", "[F197]") {
    using Clock = test::ManualClock;
    using Time = Clock::time_point;
    const auto add = [](Time from, auto more) { return bulkhead::detail::saturating_add<Clock>(from, more); };
    const Time noon{12h};
    CHECK(add(noon, 1s) == noon + 1s);
    CHECK(add(noon, 0s) == noon);
    CHECK(add(noon, -1s) == noon);
    CHECK(add(noon, std::chrono::nanoseconds::min()) == noon);
    CHECK(add(noon, std::chrono::nanoseconds::max()) == Time::max());
    CHECK(add(noon, std::chrono::milliseconds::max()) == Time::max());
    CHECK(add(noon, std::chrono::hours::max()) == Time::max());
    CHECK(add(Time::max(), 1ns) == Time::max());
    CHECK(add(Time::max(), 0s) == Time::max());
    CHECK(add(Time::min(), 1s) == Time::min() + 1s); // what is left is more than a duration holds
    CHECK(add(Time{-1h}, std::chrono::nanoseconds::max()) == Time{-1h} + std::chrono::nanoseconds::max());
}
