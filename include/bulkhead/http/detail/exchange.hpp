// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/send/retry.hpp>
#include <bulkhead/http/connector.hpp>
#include <bulkhead/http/detail/answer_head.hpp>
#include <bulkhead/http/detail/exchange_result.hpp>
#include <bulkhead/http/detail/request_writer.hpp>
#include <bulkhead/http/detail/watchdog.hpp>
#include <bulkhead/reply.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/optional/optional.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <span>
#include <string_view>

/// One HTTP/1.1 request and its streamed answer over any asynchronous stream, with an injected clock.
namespace bulkhead::inline v1::detail {

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

#if defined(__GNUC__) && !defined(__clang__) // GCC 12 takes Asio's pairing of coroutine frames for a mismatch at -O1
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
#endif

/// Reads up to the end of the final answer's head; interim answers are skipped. What follows the head stays in
/// `buffer`.
template <class Stream>
asio::awaitable<void> read_answer_head(Stream& stream, boost::beast::flat_buffer& buffer, AnswerHead& head,
                                       ReadState& read) {
    namespace http = boost::beast::http;
    constexpr std::size_t read_size = std::size_t{64} << 10; // Beast reads as much as there is capacity
    constexpr int max_interim = 8;
    auto& error = read.error;
    buffer.max_size(AnswerHead::most_kept + read_size); // nor does Beast bound a chunk's extensions, or the trailers
    buffer.reserve(read_size);
    for (int interim = 0;; ++interim) {
        head.start();
        while (!head.done() && !error) {
            buffer.consume(head.put(view_of(buffer), error));
            if ((error || head.done()) && head.status() >= 200) read.status = head.status();
            if (error || head.done()) break;
            const auto room = std::max<std::size_t>(buffer.capacity() - buffer.size(), 1024); // it seldom grows
            const auto size =
                co_await stream.async_read_some(buffer.prepare(room), asio::redirect_error(asio::use_awaitable, error));
            buffer.commit(size);
            if (error == asio::error::eof)
                error = head.empty() ? http::error::end_of_stream : http::error::partial_message;
        }
        if (error || head.status() >= 200) co_return;
        if (head.status() == 101 || interim == max_interim) {
            error = http::error::bad_status;
            co_return;
        }
    }
}

/// Gives the head of an answer to the parser of its body, and takes from it what the reply needs.
template <class Parser>
void begin_body(Parser& parser, std::string_view text, ReadState& read) {
    namespace http = boost::beast::http;
    parser.header_limit(AnswerHead::most_kept);
    parser.body_limit(boost::none); // `ExchangeOptions::max_answer_bytes` is the limit
    parser.put(asio::buffer(text), read.error);
    if (read.error) return;
    const auto& head = parser.get();
    const auto value_of = [&head](http::field field) {
        const auto value = head[field];
        return std::string_view{value.data(), value.size()};
    };
    if (head.count(http::field::retry_after) != 0)
        read.retry_after = parse_retry_after(value_of(http::field::retry_after), std::chrono::system_clock::now());
    read.coding = foreign_coding(value_of(http::field::content_encoding), value_of(http::field::transfer_encoding));
}

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
    co_await asio::this_coro::throw_if_cancelled(false);
    const asio::any_io_executor executor = co_await asio::this_coro::executor;

    const auto abort = [&stream] { abort_stream(stream); };
    const auto soon = [deadline = options.deadline] {
        return std::min(deadline, Clock::now() + std::chrono::seconds{1});
    };
    Watchdog<Clock> watchdog{executor, options.deadline, abort};
    RequestWriter<Clock, Stream> writer{stream, executor};
    if (options.write_timeout < options.deadline - Clock::now()) writer.abort_when_stalled(options.write_timeout);
    // The peer may have answered before it hung up; that answer is not waited for much longer.
    writer.start(options.head, options.body, [&watchdog, soon, abort] {
        if (!watchdog.expired()) watchdog.watch(soon(), abort);
    });

    ReadState read;
    PassedOver unread;
    std::optional<http::response_parser<SinkBody>> parser;
    try {
        AnswerHead head;
        co_await read_answer_head(stream, buffer, head, read);
        if (!read.error) begin_body(parser.emplace(), head.text(), read);
        if (!read.error) {
            parser->get().body() = {read.coding.empty() ? &sink : &unread, options.max_answer_bytes};
            if (read.status >= 300 && writer.busy()) { // its end may only wait for its turn on the executor
                co_await asio::post(executor, asio::use_awaitable);
                read.early = writer.busy();
                if (read.early) abort();
            }
        }
        while (!read.error && !read.early && !parser->is_done())
            co_await http::async_read_some(stream, buffer, *parser,
                                           asio::redirect_error(asio::use_awaitable, read.error));
    } catch (...) { // no memory: the writing must end all the same
        read.error = boost::system::errc::make_error_code(boost::system::errc::not_enough_memory);
    }
    if (read.error) abort();
    // A whole answer to a request that is not: the peer has a moment to take the rest, then it is an early one.
    if (!read.error && !read.early && writer.busy()) watchdog.watch(soon(), abort);
    while (writer.busy()) { // nothing may refer to the body afterwards
        error_code ignored;
        co_await writer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    }

    read.timed_out = watchdog.expired();
    if (!read.error && !read.early) {
        read.done = parser->is_done();
        read.ends_with_connection = parser->need_eof();
        read.keep_alive = parser->keep_alive();
    }
    read.surplus = buffer.size();
    ExchangeResult result = classify_exchange(writer.state(), read);
    if (!read.coding.empty() && !read.error && !read.early)
        (void)sink.on_body(result.reply.detail); // instead of what cannot be read
    co_return result;
}

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

} // namespace bulkhead::inline v1::detail
