// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/dead_letter.hpp>
#include <bulkhead/test/manual_clock.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <span>

/// A dead-letter sink that fails and takes its time.
namespace bulkhead::inline v1::test::simulation {

/// One write of a `FaultySink`.
struct SinkAttempt {
    ManualClock::duration delay{};
    bool fails = false;
};

/// `Faults` decides what happens: `SinkAttempt begin_write()`, then, after the delay,
/// `error_code end_write(SinkAttempt, std::span<const DeadLetter>)`. It outlives the sink.
template <class Faults>
class FaultySink {
public:
    explicit FaultySink(Faults& faults) : faults_{&faults} {}
    asio::awaitable<error_code> write(std::span<const DeadLetter> letters) {
        auto& faults = *faults_;
        const SinkAttempt attempt = faults.begin_write();
        if (attempt.delay.count() != 0) {
            asio::basic_waitable_timer<ManualClock> timer{co_await asio::this_coro::executor, attempt.delay};
            error_code ignored;
            co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
        }
        co_return faults.end_write(attempt, letters);
    }

private:
    Faults* faults_;
};

} // namespace bulkhead::inline v1::test::simulation
