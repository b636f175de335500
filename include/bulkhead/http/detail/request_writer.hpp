// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/util/saturating_add.hpp>
#include <bulkhead/error.hpp>
#include <bulkhead/http/connector.hpp>
#include <bulkhead/http/detail/exchange_result.hpp>
#include <bulkhead/http/detail/watchdog.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>

#include <cstddef>
#include <limits>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

/// Writes one request, and gives up a stream that stops taking it.
namespace bulkhead::inline v1::detail {

/// One request on its way into a stream. For one strand. It may be destroyed only when `busy()` is false, or with the
/// stream's context.
template <class Clock, class Stream>
class RequestWriter {
public:
    RequestWriter(Stream& stream, const asio::any_io_executor& executor)
        : stream_{stream}, state_{std::make_shared<State>(executor)}, stall_{executor} {}

    /// Begins to write. `on_failed` is called when the stream takes no more of the request.
    template <class F>
    void start(std::string_view head, std::span<const asio::const_buffer> body, F on_failed) {
        std::vector<asio::const_buffer> request;
        request.reserve(body.size() + 1);
        request.push_back(asio::buffer(head));
        request.insert(request.end(), body.begin(), body.end());
        state_->write.head_bytes = head.size();
        state_->write.total = asio::buffer_size(request);
        const auto all_at_once = [state = state_](const error_code& error, std::size_t written) {
            if (written != 0) state->moved = Clock::now();
            return error ? std::size_t{0} : std::numeric_limits<std::size_t>::max();
        };
        asio::async_write(stream_, request, all_at_once,
                          [state = state_, on_failed](const error_code& error, std::size_t written) {
                              state->write.written = written;
                              state->write.error = error;
                              state->busy = false;
                              state->done.cancel();
                              if (error) on_failed();
                          });
    }
    /// Aborts the stream when it has taken no byte for so long.
    void abort_when_stalled(typename Clock::duration timeout) {
        if (!state_->busy) return;
        const auto until = saturating_add<Clock>(state_->moved, timeout);
        if (until > Clock::now()) return stall_.watch(until, [this, timeout] { abort_when_stalled(timeout); });
        state_->write.stalled = true;
        abort_stream(stream_);
    }
    /// Whether the stream still refers to the request.
    [[nodiscard]] bool busy() const noexcept { return state_->busy; }
    /// Completes when `busy()` has become false, or too early: as a wait on a timer does.
    template <class Token>
    auto async_wait(Token&& token) {
        return state_->done.async_wait(std::forward<Token>(token));
    }
    /// How far it has come.
    [[nodiscard]] const WriteState& state() const noexcept { return state_->write; }

private:
    struct State {
        explicit State(const asio::any_io_executor& executor) : done{executor} {
            done.expires_at(Clock::time_point::max());
        }
        asio::basic_waitable_timer<Clock> done; ///< cancelled at the end of writing
        WriteState write;
        typename Clock::time_point moved = Clock::now(); ///< when a part of the request was last taken
        bool busy = true;
    };
    Stream& stream_;
    std::shared_ptr<State> state_;
    Watchdog<Clock> stall_;
};

} // namespace bulkhead::inline v1::detail
