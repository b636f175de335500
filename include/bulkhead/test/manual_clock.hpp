// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/wait_traits.hpp>

#include <chrono>
#include <cstdint>

namespace bulkhead::inline v1::test {

/// A clock that moves only by `advance`, for tests in virtual time: `BulkIndexer<T, ManualClock>`. Each thread has its
/// own. It starts at one hour, so that a test can look back.
///
/// Drive the `io_context` with `poll()`: a timer is ready as soon as `advance` has passed its expiry. Tests that live
/// through a lot run some ten times faster when they are compiled with `BOOST_ASIO_DISABLE_EPOLL`: Asio's reactor by
/// epoll would set the kernel's timer before each handler.
struct ManualClock {
    /// As a clock must have it.
    using rep = std::int64_t;
    /// As a clock must have it.
    using period = std::nano;
    /// Nanoseconds.
    using duration = std::chrono::nanoseconds;
    /// Of this clock.
    using time_point = std::chrono::time_point<ManualClock>;
    /// It never goes back.
    static constexpr bool is_steady = true;

    /// This thread's time, which stands still until it is moved.
    [[nodiscard]] static time_point now() noexcept { return current(); }
    /// Moves this thread's time on. Timers notice when the context runs: `run_for` does both.
    static void advance(duration by) noexcept { current() += by; }
    /// Back to the beginning, for the next test.
    static void reset() noexcept {
        current() = start;
        seeds() = 0;
    }
    /// Another one at each call, and the same ones after each `reset`: ids made with this clock (`client_id`) are
    /// repeatable, and no two indexers make the same.
    [[nodiscard]] static std::uint64_t next_seed() noexcept { return ++seeds(); }

private:
    static std::uint64_t& seeds() noexcept {
        static thread_local std::uint64_t made = 0;
        return made;
    }
    static constexpr time_point start{std::chrono::hours{1}};
    static time_point& current() noexcept {
        static thread_local time_point now = start;
        return now;
    }
};

/// Runs what is ready, and what that makes ready, without moving the clock.
inline void run_ready(boost::asio::io_context& context) {
    do {
        context.restart();
    } while (context.poll() != 0);
}

/// Moves the clock in steps, so that timers which are armed on the way fire at their own time, and runs what is ready.
inline void run_for(boost::asio::io_context& context, ManualClock::duration time,
                    ManualClock::duration step = std::chrono::milliseconds{10}) {
    run_ready(context);
    while (time > ManualClock::duration::zero()) {
        const auto by = time < step ? time : step;
        ManualClock::advance(by);
        time -= by;
        run_ready(context);
    }
}

} // namespace bulkhead::inline v1::test

/// Tells Asio not to sleep until a manual time: the reactor looks again at once.
template <>
struct boost::asio::wait_traits<bulkhead::test::ManualClock> {
    using Clock = bulkhead::test::ManualClock;
    static Clock::duration to_wait_duration(const Clock::duration& /*left*/) { return Clock::duration::zero(); }
    static Clock::duration to_wait_duration(const Clock::time_point& /*at*/) { return Clock::duration::zero(); }
};
