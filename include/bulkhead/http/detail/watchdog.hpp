// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/error.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/basic_waitable_timer.hpp>

#include <memory>
#include <utility>

/// What ends an operation at its deadline.
namespace bulkhead::inline v1::detail {

namespace asio = boost::asio;

/// Calls a function once at a point in time, unless it is destroyed before. For one strand.
template <class Clock>
class Watchdog {
public:
    explicit Watchdog(const asio::any_io_executor& executor) : state_{std::make_shared<State>(executor)} {}
    template <class F>
    Watchdog(const asio::any_io_executor& executor, typename Clock::time_point at, F expire) : Watchdog{executor} {
        watch(at, std::move(expire));
    }
    Watchdog(const Watchdog&) = delete;
    Watchdog& operator=(const Watchdog&) = delete;
    ~Watchdog() {
        state_->over = true;
        state_->timer.cancel();
    }
    template <class F>
    void watch(typename Clock::time_point at, F expire) {
        state_->timer.expires_at(at);
        state_->timer.async_wait([state = state_, expire = std::move(expire)](error_code error) mutable {
            if (error || state->over) return;
            state->expired = true;
            expire();
        });
    }
    [[nodiscard]] bool expired() const noexcept { return state_->expired; }

private:
    struct State {
        explicit State(const asio::any_io_executor& executor) : timer{executor} {}
        asio::basic_waitable_timer<Clock> timer;
        bool expired = false;
        bool over = false;
    };
    std::shared_ptr<State> state_;
};

} // namespace bulkhead::inline v1::detail
