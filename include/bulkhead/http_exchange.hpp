// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/retry.hpp>
#include <bulkhead/transport.hpp>

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/stream_traits.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/optional/optional.hpp>

#include <algorithm>
#include <array>
#include <exception>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// One HTTP/1.1 request and its streamed answer over any asynchronous stream, with an injected clock.
namespace bulkhead::inline v1 {

/// Closes a stream, so that everything under way on it completes soon. Found by argument-dependent lookup or, for
/// streams whose lowest layer is a socket, this one.
template <class Stream>
void abort_stream(Stream& stream) noexcept {
    error_code ignored;
    boost::beast::get_lowest_layer(stream).close(ignored);
}

namespace detail {

/// Calls a function once when a point in time has come, unless it is destroyed before. For one strand.
template <class Clock>
class Watchdog {
public:
    explicit Watchdog(const asio::any_io_executor& executor) : state_{std::make_shared<State>(executor)} {}
    template <class F>
    Watchdog(const asio::any_io_executor& executor, typename Clock::time_point at, F bite) : Watchdog{executor} {
        watch(at, std::move(bite));
    }
    Watchdog(const Watchdog&) = delete;
    Watchdog& operator=(const Watchdog&) = delete;
    ~Watchdog() {
        state_->over = true;
        state_->timer.cancel();
    }
    template <class F>
    void watch(typename Clock::time_point at, F bite) {
        state_->timer.expires_at(at);
        state_->timer.async_wait([state = state_, bite = std::move(bite)](error_code error) mutable {
            if (error || state->over) return;
            state->bitten = true;
            bite();
        });
    }
    [[nodiscard]] bool bitten() const noexcept { return state_->bitten; }

private:
    struct State {
        explicit State(const asio::any_io_executor& executor) : timer{executor} {}
        asio::basic_waitable_timer<Clock> timer;
        bool bitten = false;
        bool over = false;
    };
    std::shared_ptr<State> state_;
};

/// A Beast body that hands its bytes to an `AnswerSink` where they lie, without keeping any.
struct SinkBody {
    struct value_type { // NOLINT(readability-identifier-naming): these two names are Beast's
        AnswerSink* sink = nullptr;
        std::size_t room = 0; ///< how many more bytes are taken
    };
    class reader { // NOLINT(readability-identifier-naming)
    public:
        template <bool isRequest, class Fields>
        reader(boost::beast::http::header<isRequest, Fields>& /*head*/, value_type& body) : body_{body} {}
        void init(const boost::optional<std::uint64_t>& /*length*/, error_code& error) { error = {}; }
        template <class Buffers>
        std::size_t put(const Buffers& buffers, error_code& error) {
            std::size_t taken = 0;
            for (auto it = asio::buffer_sequence_begin(buffers); it != asio::buffer_sequence_end(buffers); ++it) {
                error = put_piece(*it);
                if (error) break;
                taken += asio::const_buffer{*it}.size();
            }
            return taken;
        }
        void finish(error_code& error) { error = {}; }

    private:
        error_code put_piece(asio::const_buffer piece) noexcept {
            if (piece.size() > body_.room) return errc::answer_too_large;
            body_.room -= piece.size();
            try { // what were thrown here would not reach the coroutine
                const bool more = body_.sink->on_body({static_cast<const char*>(piece.data()), piece.size()});
                return more ? error_code{} : make_error_code(errc::malformed_answer);
            } catch (const std::exception&) {
                return boost::system::errc::make_error_code(boost::system::errc::not_enough_memory);
            }
        }
        value_type& body_;
    };
};

} // namespace detail

/// What `http_exchange` needs beside the stream.
template <class Clock>
struct ExchangeOptions {
    std::string_view head;                    ///< request line and header fields, the empty line included
    std::span<const asio::const_buffer> body; ///< sent as it is, gathered, never copied
    typename Clock::time_point deadline;      ///< for everything: the last byte of the answer included
    /// How long writing may stand still before the peer is given up.
    typename Clock::duration write_timeout = std::chrono::hours{24};
    /// A longer answer is cut off (`errc::answer_too_large`).
    std::size_t max_answer_bytes = std::size_t{256} << 20;
};

/// How an exchange ended.
struct ExchangeResult {
    /// What a transport's `send` completes with.
    Reply reply;
    bool reusable = false; ///< another request may follow on this stream
};

#if defined(__GNUC__) && !defined(__clang__) // GCC 12 takes Asio's pairing of coroutine frames for a mismatch at -O1
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
#endif

/// Sends one request and streams the body of its answer to `sink`, on the stream's executor, which must be a strand or
/// a single thread. `buffer` belongs to the stream: it must be empty, and is empty afterwards if the stream is
/// reusable.
///
/// Never throws because of the peer, and completes by the deadline whatever the peer does (the stream is then closed by
/// `abort_stream`). When it has completed, nothing refers to the body or the sink any more, and the reply says how much
/// of the body the stream has taken. Interim answers (1xx) are skipped, at most 8; header fields are bounded to 64 KiB,
/// the body to `max_answer_bytes`. An answer whose end is only the connection's end is never `body_complete`. When the
/// answer begins with an error status while the request is still being sent, sending stops: `errc::early_answer`.
template <class Clock, class Stream>
asio::awaitable<ExchangeResult> http_exchange(Stream& stream, boost::beast::flat_buffer& buffer,
                                              ExchangeOptions<Clock> options, AnswerSink& sink) {
    namespace http = boost::beast::http;
    constexpr std::size_t header_limit = std::size_t{64} << 10;
    constexpr std::size_t read_size = std::size_t{64} << 10; // Beast reads as much as there is capacity
    constexpr int most_interim = 8;

    co_await asio::this_coro::throw_if_cancelled(false);
    const asio::any_io_executor executor = co_await asio::this_coro::executor;

    struct Writer {
        explicit Writer(const asio::any_io_executor& executor) : done{executor} {}
        asio::basic_waitable_timer<Clock> done; // cancelled when the writing is over
        std::size_t written = 0;
        typename Clock::time_point moved = Clock::now(); ///< when some of the request was last taken
        error_code error;
        bool busy = true;
        bool stalled = false;
    };
    const auto writer = std::make_shared<Writer>(executor);
    writer->done.expires_at(Clock::time_point::max());

    ExchangeResult result;
    auto& reply = result.reply;
    detail::Watchdog<Clock> watchdog{executor, options.deadline, [&stream] { abort_stream(stream); }};

    std::vector<asio::const_buffer> request;
    request.reserve(options.body.size() + 1);
    request.push_back(asio::buffer(options.head));
    request.insert(request.end(), options.body.begin(), options.body.end());
    const std::size_t total = asio::buffer_size(request);
    const auto soon = [deadline = options.deadline] {
        return std::min(deadline, Clock::now() + std::chrono::seconds{1});
    };
    const auto all_at_once = [writer](const error_code& error, std::size_t written) {
        if (written != 0) writer->moved = Clock::now();
        return error ? std::size_t{0} : std::numeric_limits<std::size_t>::max();
    };
    detail::Watchdog<Clock> pusher{executor};
    const auto give_up_when_stalled = [writer, &pusher, &stream, timeout = options.write_timeout](auto& again) -> void {
        if (!writer->busy) return;
        const auto until = writer->moved + timeout;
        if (until > Clock::now()) return pusher.watch(until, [again] { again(again); });
        writer->stalled = true;
        abort_stream(stream);
    };
    if (options.write_timeout < options.deadline - Clock::now()) give_up_when_stalled(give_up_when_stalled);
    asio::async_write(stream, request, all_at_once,
                      [writer, &watchdog, &stream, soon](const error_code& error, std::size_t written) {
                          writer->written = written;
                          writer->error = error;
                          writer->busy = false;
                          writer->done.cancel();
                          // The peer may have answered before it hung up; that answer is not waited for much longer.
                          if (error && !watchdog.bitten()) watchdog.watch(soon(), [&stream] { abort_stream(stream); });
                      });

    error_code error;
    bool early = false;
    std::optional<http::response_parser<detail::SinkBody>> parser;
    try {
        buffer.max_size(header_limit + read_size); // nor does Beast bound a chunk's extensions, or the trailers
        buffer.reserve(read_size);
        for (int interim = 0;; ++interim) {
            parser.emplace();
            parser->header_limit(header_limit);
            parser->body_limit(boost::none); // ours is the body's
            parser->get().body() = {&sink, options.max_answer_bytes};
            co_await http::async_read_header(stream, buffer, *parser, asio::redirect_error(asio::use_awaitable, error));
            if (error) break;
            const auto status = parser->get().result_int();
            if (status >= 200) break;
            if (status == 101 || interim == most_interim) {
                error = errc::protocol_error;
                break;
            }
        }

        if (!error) {
            const auto& head = parser->get();
            reply.status = head.result_int();
            if (const auto field = head.find(http::field::retry_after); field != head.end())
                reply.retry_after =
                    parse_retry_after({field->value().data(), field->value().size()}, std::chrono::system_clock::now());
            if (reply.status >= 300 && writer->busy) { // or is it over, and only waits for its turn to say so?
                co_await asio::post(executor, asio::use_awaitable);
                early = writer->busy;
                if (early) abort_stream(stream);
            }
        }

        while (!error && !early && !parser->is_done())
            co_await http::async_read_some(stream, buffer, *parser, asio::redirect_error(asio::use_awaitable, error));
    } catch (...) { // no memory: the writing must end all the same
        error = boost::system::errc::make_error_code(boost::system::errc::not_enough_memory);
    }
    if (error) abort_stream(stream);
    // A whole answer to a request that is not: the peer has a moment to take the rest, then it is an early one.
    if (!error && !early && writer->busy) watchdog.watch(soon(), [&stream] { abort_stream(stream); });
    while (writer->busy) { // nobody may refer to the body afterwards
        error_code ignored;
        co_await writer->done.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    }

    const auto head_bytes = options.head.size();
    reply.sent = writer->written == total ? Sent::complete : writer->written > head_bytes ? Sent::partial : Sent::none;
    if (writer->stalled && !early) {
        reply.error = errc::write_timeout;
    } else if (watchdog.bitten() && error) {
        reply.error =
            writer->error && writer->error != asio::error::operation_aborted ? writer->error : errc::request_timeout;
    } else if (early || (!error && reply.sent != Sent::complete)) {
        reply.error = errc::early_answer;
    } else if (error) {
        reply.error = error;
        if (error.category() == http::make_error_code(http::error::bad_status).category() &&
            error != http::error::end_of_stream && error != http::error::partial_message)
            reply.error = errc::protocol_error;
    } else {
        reply.body_complete = parser->is_done() && !parser->need_eof();
        result.reusable = reply.body_complete && parser->keep_alive() && !writer->error && buffer.size() == 0;
    }
    if (error && !early) reply.detail = detail::printable(error.message());
    co_return result;
}

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

} // namespace bulkhead::inline v1
