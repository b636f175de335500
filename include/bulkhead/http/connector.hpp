// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/util/saturating_add.hpp>
#include <bulkhead/http/detail/address_order.hpp>
#include <bulkhead/http/detail/exchange.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <algorithm>
#include <chrono>
#include <concepts>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#if __has_include(<fcntl.h>)
#include <fcntl.h>
#endif

/// How a connection comes to be. Redirects, proxies from the environment and fallbacks to another scheme do not exist.
namespace bulkhead::inline v1 {

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

/// What became of an attempt to connect.
struct Opened {
    /// Success, or why there is no connection.
    error_code error;
    std::string detail; ///< for people, when there is more to say than the error does; fit for a log
    /// Where it was connected to, also when it failed afterwards; absent where that is not known.
    std::optional<asio::ip::tcp::endpoint> address{};
};

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

namespace detail {

/// Resolves and connects a TCP socket. A host that is an address is not looked up. A name is, each time, on Asio's own
/// thread, which nothing can interrupt: when its time is over the look-up is left behind, and only the destruction of
/// the `io_context` waits for it. Addresses are tried in turn, and each gets its part of the time that is left, so that
/// a first one that never answers does not keep the others from being tried. See `address_order` for which is first.
template <class Clock, class Resolver>
class Dialer {
public:
    using Endpoints = asio::ip::tcp::resolver::results_type;

    /// Where a socket is connected to, if it is.
    [[nodiscard]] static std::optional<Endpoint> address_of(const asio::ip::tcp::socket& socket) {
        error_code error;
        const auto address = socket.remote_endpoint(error);
        return error ? std::nullopt : std::optional{address};
    }
    /// `errc::resolve_timeout`, `errc::connect_timeout`, or what the resolver or the last address tried said.
    static asio::awaitable<error_code> dial(asio::ip::tcp::socket& socket, NodeAddress peer, ConnectTimeouts timeouts) {
        co_await asio::this_coro::throw_if_cancelled(false);
        const auto deadline = in(timeouts.total);
        std::vector<Endpoint> endpoints;
        error_code error;
        if (const auto address = asio::ip::make_address(peer.host, error); !error) {
            const auto port = static_cast<asio::ip::port_type>(std::stoul(peer.port));
            endpoints.emplace_back(address, port);
        } else {
            const auto lookup = std::make_shared<Lookup>(socket.get_executor());
            const auto until = std::min(deadline, in(timeouts.resolve));
            co_await look_up(lookup, peer, until);
            if (lookup->error) co_return lookup->error;
            for (const auto& entry : lookup->endpoints) endpoints.push_back(entry.endpoint());
            endpoints = address_order(std::move(endpoints), peer.failed);
        }
        error = co_await try_each(socket, std::move(endpoints), std::min(deadline, in(timeouts.connect)));
        if (!error) {
            error_code ignored; // these make it faster and sturdier; it works without
            socket.set_option(asio::ip::tcp::no_delay{true}, ignored);
            socket.set_option(asio::socket_base::keep_alive{true}, ignored);
        }
        co_return error;
    }

private:
    [[nodiscard]] static typename Clock::time_point in(std::chrono::milliseconds time) {
        return saturating_add<Clock>(Clock::now(), time);
    }
    struct Lookup {
        explicit Lookup(const asio::any_io_executor& executor) : resolver{executor}, done{executor} {}
        Resolver resolver;
        asio::basic_waitable_timer<Clock> done;
        Endpoints endpoints;
        error_code error;
        bool over = false;
    };
    static asio::awaitable<void> look_up(std::shared_ptr<Lookup> lookup, NodeAddress peer,
                                         typename Clock::time_point until) {
        co_await asio::this_coro::throw_if_cancelled(false);
        lookup->done.expires_at(until);
        lookup->resolver.async_resolve(peer.host, peer.port, [lookup](const error_code& failed, Endpoints found) {
            if (lookup->over) return;
            lookup->error = failed;
            lookup->endpoints = std::move(found);
            lookup->over = true;
            lookup->done.cancel();
        });
        error_code stopped;
        co_await lookup->done.async_wait(asio::redirect_error(asio::use_awaitable, stopped));
        if (lookup->over) co_return;
        lookup->over = true;
        lookup->resolver.cancel();
        lookup->error = stopped ? stopped : make_error_code(errc::resolve_timeout);
    }
    static asio::awaitable<error_code> try_each(asio::ip::tcp::socket& socket, std::vector<Endpoint> endpoints,
                                                typename Clock::time_point deadline) {
        co_await asio::this_coro::throw_if_cancelled(false);
        const asio::any_io_executor executor = socket.get_executor();
        error_code error = asio::error::host_not_found;
        auto untried = static_cast<long>(endpoints.size());
        for (const auto& endpoint : endpoints) {
            const asio::cancellation_state state = co_await asio::this_coro::cancellation_state;
            if (state.cancelled() != asio::cancellation_type::none) // between two steps, when nothing waited for it
                co_return asio::error::operation_aborted;
            const auto now = Clock::now();
            const auto until = now + (deadline - now) / untried--;
            error_code ignored;
            socket.close(ignored);
            socket.open(endpoint.protocol(), error);
            if (error) continue; // such as no IPv6 here
            keep_from_children(socket);
            detail::Watchdog<Clock> watchdog{executor, until, [&socket] { abort_stream(socket); }};
            co_await socket.async_connect(endpoint, asio::redirect_error(asio::use_awaitable, error));
            if (!error && !socket.is_open()) error = asio::error::operation_aborted;
            if (error && watchdog.bitten()) error = errc::connect_timeout;
            if (!error || error == asio::error::operation_aborted) break;
        }
        co_return error;
    }
    /// What a program that the service starts would otherwise hold open, also when it is closed here.
    static void keep_from_children([[maybe_unused]] asio::ip::tcp::socket& socket) noexcept {
#if defined(FD_CLOEXEC)
        ::fcntl(socket.native_handle(), F_SETFD, FD_CLOEXEC); // NOLINT(*-vararg)
#endif
    }
};

} // namespace detail

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
