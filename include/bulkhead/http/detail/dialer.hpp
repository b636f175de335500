// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/util/saturating_add.hpp>
#include <bulkhead/http/connector.hpp>
#include <bulkhead/http/detail/watchdog.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#if __has_include(<fcntl.h>)
#include <fcntl.h>
#endif

/// Looks a host up and connects a socket to it, within deadlines.
namespace bulkhead::inline v1::detail {

using TcpEndpoint = boost::asio::ip::tcp::endpoint;

/// The resolver's order, but for `failed`, where a connection broke after it was made: the addresses behind it come
/// first, then those before it, and it comes last. Two failures in turn so reach three addresses.
[[nodiscard]] inline std::vector<TcpEndpoint> address_order(std::vector<TcpEndpoint> found,
                                                            const std::optional<TcpEndpoint>& failed) {
    if (!failed) return found;
    const auto at = std::find(found.begin(), found.end(), *failed);
    if (at == found.end()) return found;
    std::rotate(found.begin(), at, found.end());
    std::stable_partition(found.begin(), found.end(), [&](const TcpEndpoint& one) { return one != *failed; });
    return found;
}

/// Resolves and connects a TCP socket. A host that is an address is not looked up. A name is, each time, on Asio's own
/// thread, which nothing can interrupt: when its time is over the look-up is left behind, and only the destruction of
/// the `io_context` waits for it. Addresses are tried in turn, and each gets its part of the time that is left, so that
/// a first one that never answers does not keep the others from being tried. See `address_order` for which is first.
template <class Clock, class Resolver>
class Dialer {
public:
    using Endpoints = asio::ip::tcp::resolver::results_type;

    /// Where a socket is connected to, if it is.
    [[nodiscard]] static std::optional<TcpEndpoint> address_of(const asio::ip::tcp::socket& socket) {
        error_code error;
        const auto address = socket.remote_endpoint(error);
        return error ? std::nullopt : std::optional{address};
    }
    /// `errc::resolve_timeout`, `errc::connect_timeout`, or what the resolver or the last address tried said.
    static asio::awaitable<error_code> dial(asio::ip::tcp::socket& socket, NodeAddress peer, ConnectTimeouts timeouts) {
        co_await asio::this_coro::throw_if_cancelled(false);
        const auto deadline = in(timeouts.total);
        std::vector<TcpEndpoint> endpoints;
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
    static asio::awaitable<error_code> try_each(asio::ip::tcp::socket& socket, std::vector<TcpEndpoint> endpoints,
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
            Watchdog<Clock> watchdog{executor, until, [&socket] { abort_stream(socket); }};
            co_await socket.async_connect(endpoint, asio::redirect_error(asio::use_awaitable, error));
            if (!error && !socket.is_open()) error = asio::error::operation_aborted;
            if (error && watchdog.expired()) error = errc::connect_timeout;
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

} // namespace bulkhead::inline v1::detail
