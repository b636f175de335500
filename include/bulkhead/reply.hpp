// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/error.hpp>

#include <boost/asio/buffer.hpp>
#include <boost/system/errc.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

/// A request and its reply as values: what passes between the indexer and a transport, without coroutines.
namespace bulkhead::inline v1 {

namespace asio = boost::asio;

/// Names no node, in `Request::avoid_node` and `Reply::node`.
inline constexpr std::uint32_t no_node = 0xffffffffU;

/// One bulk request, as the indexer hands it to a transport. Everything it points to stays valid and unchanged until
/// `send` has completed.
struct Request {
    /// Path and query, e.g. `/_bulk?filter_path=…`: begins with `/_bulk`, already percent-encoded, without CR, LF, NUL.
    /// A transport puts its URL's own path before it.
    std::string_view target;
    /// The body in order: uncompressed NDJSON, never empty.
    std::span<const asio::const_buffer> body;
    std::size_t body_bytes = 0; ///< the sum of `body`
    /// How many operations the body holds.
    std::size_t operations = 0;
    std::uint32_t attempt = 1; ///< 1 for the first time that this body travels
    /// How long `send` may take in all: resolving, connecting, writing and reading. The transport keeps it.
    std::chrono::nanoseconds timeout{};
    std::uint32_t avoid_node = no_node; ///< the node that failed last time, if another is available
};

/// How much of the request's body may have reached the server.
enum class Sent : std::uint8_t {
    none,     ///< the kernel took no byte of the body: certainly not applied
    partial,  ///< some: perhaps a prefix was applied
    complete, ///< all of it
};

/// The result of a request. A value: a transport never throws.
struct Reply {
    /// Success only when a complete HTTP answer was read, whatever its status. Otherwise what went wrong.
    error_code error;
    /// How much of the body may have reached the server.
    Sent sent = Sent::none;
    unsigned status = 0; ///< the HTTP status once the answer's head was read, also when `error` is set; else 0
    /// The `Retry-After` header, both of its forms, as it came (not clamped); absent when missing or unreadable.
    std::optional<std::chrono::seconds> retry_after;
    /// The node that it went to.
    std::uint32_t node = no_node;
    bool body_complete = false;     ///< the answer's body was read to its proven end (length or last chunk, not by EOF)
    bool connection_reused = false; ///< the connection had carried a request before
    /// For people: what the peer or the network said. At most 1 KiB, control characters escaped, never a credential.
    std::string detail;
};

/// Takes the bytes of the final answer's body as they arrive, whatever its status, on whatever thread the transport
/// reads.
class AnswerSink {
public:
    /// The next bytes of the body. Returning false says that no more are wanted (malformed, or too large): the
    /// transport stops reading, drops the connection and completes with `errc::malformed_answer`.
    [[nodiscard]] virtual bool on_body(std::string_view bytes) = 0;

protected:
    AnswerSink() = default;
    /// Copied only as a part of what derives from it.
    AnswerSink(const AnswerSink&) = default;
    /// The same.
    AnswerSink& operator=(const AnswerSink&) = default;
    ~AnswerSink() = default;
};

namespace detail {
/// Whether this is `asio::error::operation_aborted`, for headers that include no more of Asio than its buffers.
[[nodiscard]] inline bool is_aborted(const error_code& error) noexcept {
    return error == boost::system::errc::operation_canceled;
}
} // namespace detail

} // namespace bulkhead::inline v1
