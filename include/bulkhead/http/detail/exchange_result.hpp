// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/error.hpp>
#include <bulkhead/reply.hpp>

#include <boost/beast/http/error.hpp>

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

/// What the end of writing and the end of reading mean together for one exchange. Pure.
namespace bulkhead::inline v1::detail {

/// How an exchange ended.
struct ExchangeResult {
    /// What a transport's `send` completes with.
    Reply reply;
    bool reusable = false; ///< another request may follow on this stream
};

/// How writing a request ended.
struct WriteState {
    std::size_t head_bytes = 0; ///< of the request
    std::size_t total = 0;      ///< head and body
    std::size_t written = 0;    ///< how many of them the stream has taken
    error_code error{};
    bool stalled = false; ///< given up, since the stream took nothing for too long
};

/// How reading an answer ended.
struct ReadState {
    unsigned status = 0; ///< of the final answer, once its head was read
    std::optional<std::chrono::seconds> retry_after{};
    error_code error{};
    bool timed_out = false;            ///< the deadline came
    bool early = false;                ///< an error status came while the request was still being sent
    bool done = false;                 ///< the parser has seen the end of the body
    bool ends_with_connection = false; ///< that end is only the connection's
    bool keep_alive = false;           ///< the peer allows another request
    std::size_t surplus = 0;           ///< bytes that came after the answer
    std::string_view coding{};         ///< the content coding of the body, which was not asked for
};

/// Whether the peer has answered, but with what cannot be understood: the connection itself did not break.
[[nodiscard]] inline bool is_misunderstood(const error_code& error) noexcept {
    namespace http = boost::beast::http;
    return error && error.category() == http::make_error_code(http::error::bad_status).category() &&
           error != http::error::end_of_stream && error != http::error::partial_message;
}

/// How much of the request's body the stream has taken.
[[nodiscard]] inline Sent sent_of(const WriteState& write) noexcept {
    if (write.written == write.total) return Sent::complete;
    return write.written > write.head_bytes ? Sent::partial : Sent::none;
}

/// What an exchange completes with.
[[nodiscard]] inline ExchangeResult classify_exchange(const WriteState& write, const ReadState& read) {
    ExchangeResult result;
    auto& reply = result.reply;
    const auto& error = read.error;
    const bool misunderstood = is_misunderstood(error);
    reply.status = read.status;
    reply.retry_after = read.retry_after;
    reply.sent = sent_of(write);
    if (write.stalled && !read.early) {
        reply.error = errc::write_timeout;
    } else if (read.timed_out && error) {
        reply.error = write.error && !is_aborted(write.error) ? write.error : errc::request_timeout;
    } else if (read.early || (!error && reply.sent != Sent::complete)) {
        reply.error = errc::early_answer;
    } else if (error) {
        reply.error = misunderstood ? error_code{errc::malformed_answer} : error;
    } else {
        reply.body_complete = read.done && !read.ends_with_connection;
        if (!reply.body_complete && reply.status < 300) reply.detail = "only the connection's end ends the answer";
        result.reusable = reply.body_complete && read.keep_alive && !write.error && read.surplus == 0;
    }
    if (error && !read.early && error != error_code{errc::malformed_answer}) // of that the sink knows more
        reply.detail = (misunderstood ? "the answer cannot be understood: " : "") + printable(error.message());
    if (error == error_code{errc::protocol_error}) reply.detail = "the server speaks TLS on this port";
    if (!read.coding.empty() && !error && !read.early)
        reply.detail = "the answer has the content coding " + std::string{read.coding} + ", which was not asked for";
    return result;
}

} // namespace bulkhead::inline v1::detail
