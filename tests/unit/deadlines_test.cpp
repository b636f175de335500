// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/detail/deadlines.hpp>
#include <bulkhead/test/manual_clock.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>

#include <chrono>
#include <stdexcept>

using namespace std::chrono_literals;
using bulkhead::detail::PumpGuard;
using bulkhead::test::ManualClock;

TEST_CASE("pump guard: steps that are asked for from within run once more, not inside") {
    PumpGuard guard;
    int runs = 0;
    CHECK(guard.run([&] {
        ++runs;
        if (runs < 3) CHECK_FALSE(guard.run([] { FAIL("not inside"); }));
    }));
    CHECK(runs == 3);
}

TEST_CASE("pump guard: after an exception the steps can run again") {
    PumpGuard guard;
    CHECK_THROWS_AS(guard.run([] { throw std::runtime_error{"out of memory"}; }), std::runtime_error);
    int runs = 0;
    CHECK(guard.run([&] { ++runs; }));
    CHECK(runs == 1);
}

TEST_CASE("deadline timer: the earliest of all deadlines is kept, and without one no work is left") {
    boost::asio::io_context context;
    auto strand = boost::asio::make_strand(context.get_executor());
    bulkhead::detail::DeadlineTimer<ManualClock, decltype(strand)> timer{strand};
    const auto now = ManualClock::now();
    int due = 0;
    const auto count = [&] { ++due; };
    timer.wait_until(now + 5s, count);
    timer.wait_until(now + 9s, count); // `due` is called earlier, and then looks again
    timer.wait_until(now + 2s, count);
    bulkhead::test::run_for(context, 1s);
    CHECK(due == 0);
    bulkhead::test::run_for(context, 1s);
    CHECK(due == 1);
    timer.wait_until(now + 5s, count);
    timer.wait_until(ManualClock::time_point::max(), count);
    context.restart();
    CHECK(context.run() == 1); // the handler of the timer that was cancelled
    CHECK(due == 1);
}
