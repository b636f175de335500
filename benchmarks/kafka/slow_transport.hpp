// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "../obliging_transport.hpp"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <chrono>

/// Stores nothing, and says so many operations a second, each bulk not before `latency`, that all is stored.
class SlowTransport {
public:
    struct Speed {
        std::chrono::milliseconds latency;
        double operations_a_second;
    };
    SlowTransport(const boost::asio::any_io_executor& executor, Speed speed)
        : executor_{executor}, speed_{speed}, obliging_{executor, 0} {}
    boost::asio::awaitable<bulkhead::Reply> send(bulkhead::Request request, bulkhead::AnswerSink& sink) {
        using Clock = std::chrono::steady_clock;
        const std::chrono::duration<double> work{double(request.operations) / speed_.operations_a_second};
        const auto now = Clock::now();
        free_at_ = std::max(free_at_, now) + std::chrono::duration_cast<Clock::duration>(work);
        boost::asio::steady_timer timer{executor_, std::max(free_at_, now + speed_.latency)};
        boost::system::error_code ignored;
        co_await timer.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
        auto reply = co_await obliging_.send(request, sink);
        co_return reply;
    }
    void shutdown() noexcept {}

private:
    boost::asio::any_io_executor executor_;
    Speed speed_;
    ObligingTransport obliging_;
    std::chrono::steady_clock::time_point free_at_{};
};
