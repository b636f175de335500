// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/kafka/rdkafka/detail/loop/poll_monitor.hpp>

using bulkhead::kafka::detail::PollMonitor;
using namespace std::chrono_literals;

namespace {
constexpr PollMonitor::time_point poll_begin{1h};
}

TEST_CASE("the longest gap between two polls counts, rounded up, and not the time before the first", "[poll_monitor]") {
    PollMonitor polls;
    polls.polled(poll_begin);
    CHECK(polls.max_gap() == 0ms);
    polls.polled(poll_begin + 1500us);
    CHECK(polls.max_gap() == 2ms);
    polls.polled(poll_begin + 2s);
    polls.polled(poll_begin + 3s);
    CHECK(polls.max_gap() == 1999ms);
    CHECK(polls.last() == poll_begin + 3s);
}

TEST_CASE("a snapshot is due an interval after the last one, and at once at an end", "[poll_monitor]") {
    PollMonitor polls;
    polls.polled(poll_begin);
    CHECK(polls.take_snapshot(false));
    CHECK_FALSE(polls.take_snapshot(false));
    polls.polled(poll_begin + PollMonitor::snapshot_interval - 1ms);
    CHECK_FALSE(polls.take_snapshot(false));
    CHECK(polls.take_snapshot(true));
    polls.polled(poll_begin + PollMonitor::snapshot_interval + 1ms); // the interval begins with the latest
    CHECK_FALSE(polls.take_snapshot(false));
    polls.polled(poll_begin + 2 * PollMonitor::snapshot_interval);
    CHECK(polls.take_snapshot(false));
}

TEST_CASE("while records are held, the client is polled just often enough to stay in the group", "[poll_monitor]") {
    PollMonitor polls;
    CHECK(polls.poll_while_full(true, poll_begin));
    CHECK_FALSE(polls.poll_while_full(true, poll_begin + 999ms));
    CHECK(polls.poll_while_full(true, poll_begin + 1s));
    SECTION("and every time while none is, which counts for the interval") {
        CHECK(polls.poll_while_full(false, poll_begin + 1500ms));
        CHECK(polls.poll_while_full(false, poll_begin + 1501ms));
        CHECK_FALSE(polls.poll_while_full(true, poll_begin + 2s));
        CHECK(polls.poll_while_full(true, poll_begin + 2501ms));
    }
}
