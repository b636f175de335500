// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/error.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/stream_traits.hpp>

#include <chrono>
#include <concepts>
#include <optional>
#include <string>
#include <string_view>

/// The concept of a connector, which makes connections. Redirects, proxies from the environment and fallbacks to
/// another scheme do not exist.
namespace bulkhead::inline v1 {

namespace asio = boost::asio;

/// Where a node listens.
struct NodeAddress {
    std::string host; ///< a name, or an address without brackets
    std::string port; ///< a number
    /// The address of that name at which a connection failed after it was made: others are tried first.
    std::optional<asio::ip::tcp::endpoint> failed{};
};

/// How long each step towards a usable connection may take, and all of them together.
struct ConnectTimeouts {
    /// For looking up the name.
    std::chrono::milliseconds resolve;
    std::chrono::milliseconds connect; ///< for all of a host's addresses together
    /// For the TLS handshake.
    std::chrono::milliseconds handshake;
    /// For all together.
    std::chrono::milliseconds total;
};

/// The result of an attempt to connect.
struct Opened {
    /// Success, or why there is no connection.
    error_code error;
    std::string detail; ///< for people, when there is more to say than the error does; fit for a log
    /// Where it was connected to, also when it failed afterwards; absent where that is not known.
    std::optional<asio::ip::tcp::endpoint> address{};
};

/// Closes a stream, so that everything under way on it completes soon. This one is for streams whose lowest layer is a
/// socket; one for other streams is found by argument-dependent lookup.
template <class Stream>
void abort_stream(Stream& stream) noexcept {
    error_code ignored;
    boost::beast::get_lowest_layer(stream).close(ignored);
}

/// Makes connections for a `basic_http_transport`, several at once on as many strands. `make_stream` makes a stream
/// that is not connected. `open` connects it, on the stream's executor, and completes within the times given, whatever
/// the network does; it must not throw. Terminal cancellation makes it complete soon. `alive` says without waiting
/// whether an idle connection can still be used: not when the peer has closed it, nor when it has sent something that
/// nobody asked for. `closing` is told of a connection that ends in peace, before it is closed.
template <class C>
concept Connector = requires(C& connector, const asio::any_io_executor& executor, typename C::stream_type& stream,
                             NodeAddress peer, ConnectTimeouts timeouts) {
    { connector.make_stream(executor) } -> std::same_as<typename C::stream_type>;
    { connector.open(stream, peer, timeouts) } -> std::same_as<asio::awaitable<Opened>>;
    { C::alive(stream) } -> std::same_as<bool>;
    { C::closing(stream) }
    noexcept;
    { C::scheme } -> std::convertible_to<std::string_view>;
    { C::default_port } -> std::convertible_to<std::string_view>;
};

} // namespace bulkhead::inline v1
