// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/send/retry.hpp>
#include <bulkhead/detail/util/saturating_add.hpp>
#include <bulkhead/http/detail/answer_head.hpp>
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

/// The bytes of a buffer, which are one piece.
[[nodiscard]] inline std::string_view view_of(const boost::beast::flat_buffer& buffer) noexcept {
    return {static_cast<const char*>(buffer.data().data()), buffer.size()};
}

/// Takes a body that nobody can read.
struct PassedOver final : AnswerSink {
    bool on_body(std::string_view /*bytes*/) override { return true; }
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
/// of the body the stream has taken. Interim answers (1xx) are skipped, at most 8. Of the header fields those that are
/// needed are bounded to 64 KiB, all together to 1 MiB (`errc::answer_too_large`), the body to `max_answer_bytes`. An
/// answer whose end is only the connection's end is never `body_complete`. When the answer begins with an error status
/// while the request is still being sent, sending stops: `errc::early_answer`.
///
/// An answer that cannot be understood is `errc::malformed_answer`, with the status when that was understood. A peer
/// that speaks TLS instead is `errc::protocol_error`. The body of an answer in a content coding (the request asks for
/// none) is passed over: the reply's detail names the coding, and the sink gets that sentence.
template <class Clock, class Stream>
asio::awaitable<ExchangeResult> http_exchange(Stream& stream, boost::beast::flat_buffer& buffer,
                                              ExchangeOptions<Clock> options, AnswerSink& sink) {
    namespace http = boost::beast::http;
    constexpr std::size_t header_limit = detail::AnswerHead::most_kept;
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
        const auto until = detail::saturating_add<Clock>(writer->moved, timeout);
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
    std::string_view coding; // that nobody asked for
    detail::PassedOver unread;
    std::optional<http::response_parser<detail::SinkBody>> parser;
    try {
        buffer.max_size(header_limit + read_size); // nor does Beast bound a chunk's extensions, or the trailers
        buffer.reserve(read_size);
        detail::AnswerHead answer;
        for (int interim = 0;; ++interim) {
            answer.start();
            while (!answer.done() && !error) {
                buffer.consume(answer.put(detail::view_of(buffer), error));
                if ((error || answer.done()) && answer.status() >= 200) reply.status = answer.status();
                if (error || answer.done()) break;
                const auto room = std::max<std::size_t>(buffer.capacity() - buffer.size(), 1024); // it seldom grows
                const auto size = co_await stream.async_read_some(buffer.prepare(room),
                                                                  asio::redirect_error(asio::use_awaitable, error));
                buffer.commit(size);
                if (error == asio::error::eof)
                    error = answer.empty() ? http::error::end_of_stream : http::error::partial_message;
            }
            if (error || answer.status() >= 200) break;
            if (answer.status() == 101 || interim == most_interim) {
                error = http::error::bad_status;
                break;
            }
        }

        if (!error) {
            parser.emplace();
            parser->header_limit(header_limit);
            parser->body_limit(boost::none); // ours is the body's
            parser->put(asio::buffer(answer.text()), error);
        }
        if (!error) {
            const auto& head = parser->get();
            const auto value_of = [&head](http::field field) {
                const auto value = head[field];
                return std::string_view{value.data(), value.size()};
            };
            parser->get().body() = {&sink, options.max_answer_bytes};
            if (head.count(http::field::retry_after) != 0)
                reply.retry_after =
                    parse_retry_after(value_of(http::field::retry_after), std::chrono::system_clock::now());
            coding = detail::foreign_coding(value_of(http::field::content_encoding),
                                            value_of(http::field::transfer_encoding));
            if (!coding.empty()) parser->get().body().sink = &unread;
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

    // Not a connection that broke: the peer has answered, and nobody can tell what.
    const bool misunderstood = error && error.category() == http::make_error_code(http::error::bad_status).category() &&
                               error != http::error::end_of_stream && error != http::error::partial_message;
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
        reply.error = misunderstood ? error_code{errc::malformed_answer} : error;
    } else {
        reply.body_complete = parser->is_done() && !parser->need_eof();
        if (!reply.body_complete && reply.status < 300) reply.detail = "only the connection's end ends the answer";
        result.reusable = reply.body_complete && parser->keep_alive() && !writer->error && buffer.size() == 0;
    }
    if (error && !early && error != error_code{errc::malformed_answer}) // of that the sink knows more
        reply.detail = (misunderstood ? "the answer cannot be understood: " : "") + detail::printable(error.message());
    if (error == error_code{errc::protocol_error}) reply.detail = "the server speaks TLS on this port";
    if (!coding.empty() && !error && !early) {
        reply.detail = "the answer has the content coding " + std::string{coding} + ", which was not asked for";
        (void)sink.on_body(reply.detail); // instead of what cannot be read
    }
    co_return result;
}

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

} // namespace bulkhead::inline v1
