// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/detail/event_reporter.hpp>
#include <bulkhead/test/manual_clock.hpp>

#include <chrono>
#include <stdexcept>
#include <utility>

namespace {

using namespace std::chrono_literals;
using bulkhead::test::ManualClock;
using Reporter = bulkhead::detail::EventReporter<ManualClock::time_point>;

std::pair<std::uint64_t, bulkhead::Health> trouble_of(const bulkhead::Stats& stats) {
    return {bulkhead::detail::trouble_count(stats), stats.health};
}

} // namespace

TEST_CASE("event reporter: without a hook nothing is due") {
    Reporter reporter{false};
    bulkhead::Stats stats;
    stats.rejected = 1;
    CHECK_FALSE(reporter.due(ManualClock::now(), trouble_of(stats), false));
}

TEST_CASE("event reporter: everything is reported once, and at most once a second unless it is the last report") {
    const auto now = ManualClock::now();
    Reporter reporter{true};
    bulkhead::Stats stats;
    int events = 0;
    const auto hook = [&](const bulkhead::IndexerEvent&) { ++events; };
    CHECK_FALSE(reporter.due(now, trouble_of(stats), false));
    stats.rejected = 1;
    CHECK(reporter.due(now, trouble_of(stats), false));
    reporter.report(now, stats, hook);
    CHECK(events == 1);
    CHECK_FALSE(reporter.due(now + 1h, trouble_of(stats), true)); // it was reported
    stats.rejected = 2;
    CHECK_FALSE(reporter.due(now + 999ms, trouble_of(stats), false));
    CHECK(reporter.next_deadline() == now + 1s);
    CHECK(reporter.due(now + 999ms, trouble_of(stats), true));
    CHECK(reporter.due(now + 1s, trouble_of(stats), false));
    reporter.report(now + 1s, stats, hook);
    CHECK(events == 2);
    CHECK(reporter.next_deadline() == ManualClock::time_point::max());
}

TEST_CASE("event reporter: what the hook throws is dropped, and the event is not reported again") {
    const auto now = ManualClock::now();
    Reporter reporter{true};
    bulkhead::Stats stats;
    stats.rejected = 1;
    CHECK(reporter.due(now, trouble_of(stats), false));
    CHECK_NOTHROW(reporter.report(now, stats, [](const auto&) { throw std::runtime_error{"a logger's"}; }));
    CHECK_FALSE(reporter.due(now + 1h, trouble_of(stats), false));
}
