// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/http/connector.hpp>
#include <bulkhead/http/detail/dialer.hpp>

#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/socket_base.hpp>

#include <chrono>
#include <string_view>
#include <utility>

/// Connections by plain TCP.
namespace bulkhead::inline v1 {

/// Plain TCP.
template <class Clock = std::chrono::steady_clock, class Resolver = asio::ip::tcp::resolver>
class PlainConnector {
public:
    /// A TCP socket.
    using stream_type = asio::ip::tcp::socket;
    /// Of the URLs that it speaks.
    static constexpr std::string_view scheme = "http";
    /// Where the URL names none.
    static constexpr std::string_view default_port = "80";

    /// A stream that is not connected yet.
    [[nodiscard]] stream_type make_stream(const asio::any_io_executor& executor) const { return stream_type{executor}; }
    /// Connects, by the first of the host's addresses that answers; see `NodeAddress::failed`.
    asio::awaitable<Opened> open(stream_type& socket, NodeAddress peer, ConnectTimeouts timeouts) {
        Opened opened;
        opened.error = co_await detail::Dialer<Clock, Resolver>::dial(socket, std::move(peer), timeouts);
        if (!opened.error) opened.address = detail::Dialer<Clock, Resolver>::address_of(socket);
        co_return opened;
    }
    /// Whether a connection that was idle can carry a request.
    [[nodiscard]] static bool alive(stream_type& socket) noexcept {
        error_code error;
        char byte = 0;
        socket.non_blocking(true, error);
        if (error) return false;
        socket.receive(asio::buffer(&byte, 1), asio::socket_base::message_peek, error);
        return error == asio::error::would_block;
    }
    /// Called before it is closed: the last word to the peer.
    static void closing(stream_type& /*socket*/) noexcept {}
};

} // namespace bulkhead::inline v1
