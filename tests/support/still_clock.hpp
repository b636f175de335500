// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/test/manual_clock.hpp>

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/io_context.hpp>

namespace bulkhead_test {

/// The manual clock's time, but timers look at it only when `pass` says so: with a timer that is always about to fire,
/// Asio sets the kernel's timer anew before each handler, and there are a million of them in some tests.
struct StillClock : bulkhead::test::ManualClock {
    using time_point = std::chrono::time_point<StillClock, duration>;
    static time_point now() noexcept { return time_point{ManualClock::now().time_since_epoch()}; }

    /// Moves the time, and runs what is ready then.
    static void pass(boost::asio::io_context& context, duration time);
};

} // namespace bulkhead_test

template <>
struct boost::asio::wait_traits<bulkhead_test::StillClock> {
    using Clock = bulkhead_test::StillClock;
    static Clock::duration to_wait_duration(const Clock::duration& left) {
        return left > Clock::duration::zero() ? Clock::duration{std::chrono::hours{1}} : Clock::duration::zero();
    }
    static Clock::duration to_wait_duration(const Clock::time_point& at) { return to_wait_duration(at - Clock::now()); }
};

inline void bulkhead_test::StillClock::pass(boost::asio::io_context& context, duration time) {
    advance(time);
    boost::asio::basic_waitable_timer<StillClock> look{context, time_point::min()};
    look.async_wait([](const boost::system::error_code&) {});
    bulkhead::test::run_ready(context);
}
