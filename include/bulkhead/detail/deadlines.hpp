// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/system/error_code.hpp>

#include <utility>

namespace bulkhead::inline v1::detail {

/// Runs the steps of a pump, and once more for each time that they were asked for meanwhile: a request that completes
/// at once asks from within.
class PumpGuard {
public:
    /// Calls `steps` until nobody has asked again. Within `steps` it only notes that it was asked for; false then.
    template <class Steps>
    bool run(const Steps& steps) {
        again_ = true;
        if (running_) return false;
        const Running running{running_};
        while (std::exchange(again_, false)) steps();
        return true;
    }
    /// The steps run once more.
    void run_again() noexcept { again_ = true; }

private:
    class Running {
    public:
        explicit Running(bool& flag) : flag_{flag} { flag_ = true; }
        Running(const Running&) = delete;
        Running& operator=(const Running&) = delete;
        ~Running() { flag_ = false; }

    private:
        bool& flag_;
    };
    bool running_ = false;
    bool again_ = false;
};

/// One timer for the earliest of all deadlines. It is set anew only when the next deadline is earlier than the one that
/// it waits for.
template <class Clock, class Executor>
class DeadlineTimer {
public:
    using time_point = typename Clock::time_point;

    explicit DeadlineTimer(const Executor& executor) : timer_{executor} {}

    /// Calls `due` at `next`, or earlier. `max()`: never, so that an idle owner keeps no context running. Throws
    /// `std::bad_alloc`; the next call then sets the timer again. `due` keeps this object alive.
    template <class Due>
    void wait_until(time_point next, Due due) {
        if (next == time_point::max()) return cancel();
        if (set_for_ <= Clock::now()) set_for_ = time_point::max(); // late or lost: Asio may have had no memory
        if (next >= set_for_) return;                               // `due` is called earlier
        set_for_ = time_point::max();                               // until nothing can throw any more
        timer_.expires_at(next);
        timer_.async_wait([this, next, due = std::move(due)](boost::system::error_code error) {
            if (set_for_ == next) set_for_ = time_point::max();
            if (!error) due();
        });
        set_for_ = next;
    }
    void cancel() {
        if (std::exchange(set_for_, time_point::max()) != time_point::max()) timer_.cancel();
    }

private:
    // By the executor's own type: within `any_io_executor`, Asio 1.81 ends the process when there is no memory.
    boost::asio::basic_waitable_timer<Clock, boost::asio::wait_traits<Clock>, Executor> timer_;
    time_point set_for_ = time_point::max();
};

} // namespace bulkhead::inline v1::detail
