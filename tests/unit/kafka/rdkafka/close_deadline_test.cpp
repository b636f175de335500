// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/kafka/rdkafka/detail/loop/close_deadline.hpp>

using bulkhead::kafka::detail::CloseDeadline;
using namespace std::chrono_literals;

namespace {
constexpr CloseDeadline::Clock::time_point wait_begin{1h};
}

TEST_CASE("a deadline that is not set shortens nothing", "[close_deadline]") {
    const CloseDeadline deadline;
    CHECK(deadline.left(wait_begin) > 24h * 365);
    CHECK(deadline.shorten(12h, 0ms, wait_begin) == 12h);
    CHECK(deadline.shorten(1ms, 20ms, wait_begin) == 1ms);
}

TEST_CASE("what is left is rounded up, and nothing after the deadline", "[close_deadline]") {
    CloseDeadline deadline;
    deadline.set(100ms, wait_begin);
    CHECK(deadline.left(wait_begin) == 100ms);
    CHECK(deadline.left(wait_begin + 99'500us) == 1ms);
    CHECK(deadline.left(wait_begin + 100ms) == 0ms);
    CHECK(deadline.left(wait_begin + 1h) == 0ms);
}

TEST_CASE("a wait is shortened to what is left, but not below its least", "[close_deadline]") {
    CloseDeadline deadline;
    deadline.set(100ms, wait_begin);
    CHECK(deadline.shorten(5s, 20ms, wait_begin) == 100ms);
    CHECK(deadline.shorten(50ms, 20ms, wait_begin) == 50ms);
    CHECK(deadline.shorten(5s, 20ms, wait_begin + 90ms) == 20ms);
    CHECK(deadline.shorten(5s, 0ms, wait_begin + 1h) == 0ms);
    CHECK(deadline.shorten(10ms, 20ms, wait_begin + 1h) == 10ms);
}

TEST_CASE("a close without limit has time for ever, and one with no time none", "[close_deadline]") {
    CloseDeadline deadline;
    deadline.set(std::chrono::milliseconds::max(), wait_begin);
    CHECK(deadline.left(wait_begin) > 24h * 365);
    deadline.set(0ms, wait_begin);
    CHECK(deadline.left(wait_begin) == 0ms);
}
