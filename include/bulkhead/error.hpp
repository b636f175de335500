// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/text/printable.hpp>

#include <boost/system/error_category.hpp>
#include <boost/system/error_code.hpp>
#include <boost/system/error_condition.hpp>

#include <cstddef>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace bulkhead::inline v1 {

/// Boost's: all errors of the library are of this type, most of `errc`'s category.
using error_code = boost::system::error_code;

/// Errors that bulkhead itself reports. What the network reports comes as Asio's own codes.
enum class errc : int {
    closed = 1,            ///< the indexer is closing or closed
    full,                  ///< the budget is used up
    too_large,             ///< one operation exceeds a limit by itself
    invalid_operation,     ///< an operation that would break the bulk request
    deadline_exceeded,     ///< the deadline passed while operations were still pending
    too_old,               ///< `RetryOptions::max_age` passed before the operation could be proven
    attempts_exhausted,    ///< the server refused the operation `RetryOptions::max_attempts` times, each time retryably
    overflow,              ///< dropped by `Overflow::drop_oldest`
    no_answer,             ///< sent, but no complete answer came, and repeating was not safe
    malformed_answer,      ///< an answer that cannot be understood, or a success that is no whole bulk answer
    resolve_timeout,       ///< the host name was not resolved in time
    connect_timeout,       ///< the connection was not established in time
    request_timeout,       ///< no complete answer within the request's time
    answer_too_large,      ///< the answer exceeds `max_answer_bytes`
    early_answer,          ///< the server answered before it had read the request
    protocol_error,        ///< the peer does not speak HTTP/1.1: it speaks TLS
    would_deadlock,        ///< waiting here would block a thread that runs the indexer
    sink_full,             ///< the dead-letter file has reached its size
    sink_failed,           ///< the dead-letter sink did not take what it was given
    handshake_timeout,     ///< the TLS handshake was not finished in time
    untrusted_certificate, ///< the server's certificate is not trusted; `Reply::detail` says why
    handshake_failed,      ///< the TLS handshake failed otherwise; `Reply::detail` says why
    write_timeout,         ///< the server has taken nothing of the request for `HttpOptions::write_timeout`
    credentials_unavailable, ///< the source of the credentials, or the signer, had none to give
    letters_not_taken,       ///< no Kafka source takes the dead letters of `KafkaDeadLetters`
};

/// The category of `errc`. It has a fixed id, so that two shared objects agree on it.
[[nodiscard]] const boost::system::error_category& bulkhead_category() noexcept;

namespace detail {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wnon-virtual-dtor" // Boost's base class: nothing is ever deleted through it
class Category final : public boost::system::error_category {
public:
    constexpr Category() noexcept : error_category{0x6275'6c6b'6865'6164ULL} {} // "bulkhead"
    [[nodiscard]] const char* name() const noexcept override { return "bulkhead"; }
    [[nodiscard]] std::string message(int value) const override { return text(value); }
    [[nodiscard]] char const* message(int value, char*, std::size_t) const noexcept override { return text(value); }

private:
    static const char* text(int value) noexcept {
        switch (static_cast<errc>(value)) {
        case errc::closed: return "the indexer is closing or closed";
        case errc::full: return "the budget is used up";
        case errc::too_large: return "the operation alone exceeds a limit";
        case errc::invalid_operation: return "the operation is invalid";
        case errc::deadline_exceeded: return "the deadline passed with operations pending";
        case errc::too_old: return "the operation exceeded max_age";
        case errc::attempts_exhausted: return "the operation's attempts ran out";
        case errc::overflow: return "dropped to make room for newer operations";
        case errc::no_answer: return "sent but not answered, and not safe to repeat";
        case errc::malformed_answer: return "the answer is not a well-formed bulk answer";
        case errc::resolve_timeout: return "the host name was not resolved in time";
        case errc::connect_timeout: return "the connection was not established in time";
        case errc::request_timeout: return "no complete answer in time";
        case errc::answer_too_large: return "the answer is too large";
        case errc::early_answer: return "the server answered before it had read the request";
        case errc::protocol_error: return "the peer does not speak HTTP/1.1";
        case errc::would_deadlock: return "waiting here would block a thread that runs the indexer";
        case errc::sink_full: return "the dead-letter file has reached its size";
        case errc::sink_failed: return "the dead-letter sink did not take what it was given";
        case errc::handshake_timeout: return "the TLS handshake was not finished in time";
        case errc::untrusted_certificate: return "the server's certificate is not trusted";
        case errc::handshake_failed: return "the TLS handshake failed";
        case errc::write_timeout: return "the server stopped taking the request";
        case errc::credentials_unavailable: return "the credentials are not available";
        case errc::letters_not_taken:
            return "no Kafka source writes these: KafkaSourceOptions::dead_letters, or the dead-letter topic, is not "
                   "set";
        }
        return "unknown bulkhead error";
    }
};
#pragma GCC diagnostic pop
} // namespace detail

inline const boost::system::error_category& bulkhead_category() noexcept {
    static constexpr detail::Category category{};
    return category;
}

/// So that an `errc` converts to an `error_code`.
[[nodiscard]] inline error_code make_error_code(errc value) noexcept {
    return {static_cast<int>(value), bulkhead_category()};
}

/// The short name of an `errc`, e.g. `"too_old"`: what `Failure::type` holds when the failure is ours.
[[nodiscard]] constexpr std::string_view to_string(errc value) noexcept {
    constexpr std::string_view names[] = {"closed",
                                          "full",
                                          "too_large",
                                          "invalid_operation",
                                          "deadline_exceeded",
                                          "too_old",
                                          "attempts_exhausted",
                                          "overflow",
                                          "no_answer",
                                          "malformed_answer",
                                          "resolve_timeout",
                                          "connect_timeout",
                                          "request_timeout",
                                          "answer_too_large",
                                          "early_answer",
                                          "protocol_error",
                                          "would_deadlock",
                                          "sink_full",
                                          "sink_failed",
                                          "handshake_timeout",
                                          "untrusted_certificate",
                                          "handshake_failed",
                                          "write_timeout",
                                          "credentials_unavailable",
                                          "letters_not_taken"};
    static_assert(std::size(names) == static_cast<std::size_t>(errc::letters_not_taken));
    return names[static_cast<std::size_t>(value) - 1];
}

/// A value out of its range, in options or in an operation: which field, what is allowed, and what was found.
struct FieldError {
    std::string field; ///< e.g. `"max_batch_bytes"`
    std::string limit; ///< e.g. `"1024 to 2147483647"`
    std::string value; ///< e.g. `"0"`; never a secret
    /// All three in one sentence, fit for a log: spaces for control characters, which `value` may hold.
    [[nodiscard]] std::string message() const {
        auto text = field + ": expected " + limit + ", found " + value;
        detail::blank_controls(text);
        return text;
    }
};

/// Thrown by constructors that are given an option out of range. Nothing else in the library throws because of input.
class InvalidOption : public std::invalid_argument {
public:
    /// Of what is wrong.
    explicit InvalidOption(FieldError error) : std::invalid_argument{error.message()}, error_{std::move(error)} {}
    /// The field, its limits and what was found.
    [[nodiscard]] const FieldError& error() const noexcept { return error_; }

private:
    FieldError error_;
};

} // namespace bulkhead::inline v1

template <>
struct boost::system::is_error_code_enum<bulkhead::errc> : std::true_type {};
