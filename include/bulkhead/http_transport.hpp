// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/http_exchange.hpp>
#include <bulkhead/http_options.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>

#include <algorithm>
#include <concepts>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace bulkhead::inline v1 {

/// Makes connections for a `basic_http_transport`. `open` resolves and connects, on the stream's executor, and
/// completes within `timeout` for both together, whatever the network does; it must not throw. Terminal cancellation
/// makes it complete soon. `alive` says without waiting whether an idle connection can still be used: not when the peer
/// has closed it, nor when it has sent something that nobody asked for.
template <class C>
concept Connector = requires(C& connector, typename C::stream_type& stream, std::chrono::milliseconds timeout) {
    typename C::stream_type;
    { connector.open(stream, timeout) } -> std::same_as<asio::awaitable<error_code>>;
    { C::alive(stream) } -> std::same_as<bool>;
    { C::scheme } -> std::convertible_to<std::string_view>;
};

/// Plain TCP. A host that is an address is not looked up. A name is, on Asio's own thread, which nothing can interrupt:
/// when its time is over the look-up is left behind, and only the destruction of the `io_context` waits for it.
template <class Clock = std::chrono::steady_clock, class Resolver = asio::ip::tcp::resolver>
class PlainConnector {
public:
    using stream_type = asio::ip::tcp::socket;
    static constexpr std::string_view scheme = "http";

    PlainConnector(std::string host, std::string port) : host_{std::move(host)}, port_{std::move(port)} {}

    /// `errc::resolve_timeout`, `errc::connect_timeout`, or what the resolver or the last address tried said.
    asio::awaitable<error_code> open(stream_type& socket, std::chrono::milliseconds timeout) {
        co_await asio::this_coro::throw_if_cancelled(false);
        const asio::any_io_executor executor = co_await asio::this_coro::executor;
        const auto deadline = Clock::now() + timeout;
        error_code error;
        Endpoints endpoints;
        if (const auto address = asio::ip::make_address(host_, error); !error) {
            const auto port = static_cast<asio::ip::port_type>(std::stoul(port_));
            endpoints = Endpoints::create(asio::ip::tcp::endpoint{address, port}, host_, port_);
        } else {
            const auto lookup = std::make_shared<Lookup>(executor);
            lookup->done.expires_at(deadline);
            lookup->resolver.async_resolve(host_, port_, [lookup](const error_code& failed, Endpoints found) {
                lookup->error = failed;
                lookup->endpoints = std::move(found);
                lookup->over = true;
                lookup->done.cancel();
            });
            error = {};
            co_await lookup->done.async_wait(asio::redirect_error(asio::use_awaitable, error));
            if (!lookup->over) {
                lookup->resolver.cancel();
                co_return error ? error : make_error_code(errc::resolve_timeout);
            }
            if (lookup->error) co_return lookup->error;
            endpoints = lookup->endpoints;
        }

        {
            detail::Watchdog<Clock> watchdog{executor, deadline, [&socket] { abort_stream(socket); }};
            co_await asio::async_connect(socket, endpoints, asio::redirect_error(asio::use_awaitable, error));
            if (error && watchdog.bitten()) error = errc::connect_timeout;
        }
        if (!error) {
            error_code ignored; // these make it faster and sturdier; it works without
            socket.set_option(asio::ip::tcp::no_delay{true}, ignored);
            socket.set_option(asio::socket_base::keep_alive{true}, ignored);
        }
        co_return error;
    }
    [[nodiscard]] static bool alive(stream_type& socket) noexcept {
        error_code error;
        char byte = 0;
        socket.non_blocking(true, error);
        if (error) return false;
        socket.receive(asio::buffer(&byte, 1), asio::socket_base::message_peek, error);
        return error == asio::error::would_block;
    }

private:
    using Endpoints = asio::ip::tcp::resolver::results_type;
    struct Lookup {
        explicit Lookup(const asio::any_io_executor& executor) : resolver{executor}, done{executor} {}
        Resolver resolver;
        asio::basic_waitable_timer<Clock> done;
        Endpoints endpoints;
        error_code error;
        bool over = false;
    };
    std::string host_;
    std::string port_;
};

/// Bodies travel as they are.
struct IdentityEncoder {
    static constexpr std::string_view content_encoding{};
    /// The bytes to send; what is not `body` itself is kept in `storage`.
    [[nodiscard]] static std::span<const asio::const_buffer> encode(std::span<const asio::const_buffer> body,
                                                                    std::string& /*storage*/) noexcept {
        return body;
    }
};

/// A `Transport` over HTTP/1.1: one server, a pool of keep-alive connections, each on a strand of its own, and bodies
/// sent from the batch's own memory. As many connections as there are sends under way.
///
/// A movable handle; `send` is called on any executor, several at once, and completes there. A connection is used again
/// when its last answer was read to a proven end, nothing came after it, and it has not been idle for longer than
/// `idle_max`; it is looked at before. Where a used connection turns out to be closed before it has taken a byte of the
/// body, the request moves to a fresh one; anything else is for the indexer to judge. Redirects are never followed.
///
/// While connections are idle a timer is pending, so `io_context::run` returns only after `shutdown` (which the indexer
/// calls when it closes) or `idle_max`.
template <Connector C, class Encoder = IdentityEncoder, class Clock = std::chrono::steady_clock>
class basic_http_transport {
public:
    /// Throws `InvalidOption`.
    basic_http_transport(asio::any_io_executor executor, HttpOptions options = {})
        : basic_http_transport{std::move(executor), parse(options), options, [](const detail::ServerUrl& url) {
                                   return C{url.host, url.port};
                               }} {}
    /// The same with a connector of the caller's making; of the URL only its path and `Host` field are used.
    basic_http_transport(asio::any_io_executor executor, HttpOptions options, C connector)
        : basic_http_transport{std::move(executor), parse(options), options,
                               [&](const detail::ServerUrl&) { return std::move(connector); }} {}

    /// See `Transport`. Thread-safe.
    asio::awaitable<Reply> send(Request request, AnswerSink& sink) { return send(core_, request, &sink); }

    /// Closes every connection: sends under way complete soon with `operation_aborted`, later ones at once.
    void shutdown() noexcept {
        if (core_) core_->shutdown();
    }

private:
    using stream_type = typename C::stream_type;
    using time_point = typename Clock::time_point;

    static detail::ServerUrl parse(const HttpOptions& options) {
        detail::ServerUrl url;
        if (auto wrong = validate(options)) throw InvalidOption{std::move(*wrong)};
        if (auto wrong = detail::parse_server_url(options.url, C::scheme, url)) throw InvalidOption{std::move(*wrong)};
        return url;
    }
    template <class MakeConnector>
    basic_http_transport(asio::any_io_executor executor, detail::ServerUrl url, HttpOptions& options,
                         MakeConnector make) {
        C connector = make(url);
        core_ = std::make_shared<Core>(std::move(executor), std::move(options), std::move(url), std::move(connector));
    }

    struct Connection {
        explicit Connection(const asio::any_io_executor& executor)
            : strand{asio::make_strand(executor)}, stream{strand} {}
        asio::strand<asio::any_io_executor> strand;
        stream_type stream;
        asio::cancellation_signal opening; ///< stops `Connector::open`
        boost::beast::flat_buffer buffer;
        std::string head;
        std::string encoded;
        time_point idle_since{};
        bool used = false;
        bool cancelled = false;
    };
    using ConnectionPtr = std::shared_ptr<Connection>;

    struct Core : std::enable_shared_from_this<Core> {
        Core(asio::any_io_executor executor_in, HttpOptions options_in, detail::ServerUrl url_in, C connector_in)
            : executor{std::move(executor_in)}, options{std::move(options_in)}, url{std::move(url_in)},
              connector{std::move(connector_in)}, sweeper{executor} {
            fields = " HTTP/1.1\r\nHost: " + url.host_field + "\r\nUser-Agent: " + options.user_agent +
                     "\r\nContent-Type: application/x-ndjson\r\nAccept: application/json\r\n";
            if (!Encoder::content_encoding.empty())
                fields.append("Content-Encoding: ").append(Encoder::content_encoding).append("\r\n");
            for (const auto& [name, value] : options.headers) fields.append(name + ": " + value + "\r\n");
            fields += "Content-Length: ";
        }

        /// A connection that waits for work and still seems alive, or a new one; nullptr after `shutdown`.
        ConnectionPtr take(bool fresh) {
            std::vector<ConnectionPtr> stale; // closed outside the lock
            const std::lock_guard lock{mutex};
            if (closed) return nullptr;
            const auto now = Clock::now();
            while (!fresh && !idle.empty()) {
                auto connection = std::move(idle.back()); // the one used last is the likeliest to be alive
                idle.pop_back();
                if (now - connection->idle_since <= options.idle_max && C::alive(connection->stream)) {
                    busy.push_back(connection);
                    return connection;
                }
                stale.push_back(std::move(connection));
            }
            auto connection = std::make_shared<Connection>(executor);
            busy.push_back(connection);
            return connection;
        }
        void put_back(const ConnectionPtr& connection, bool reusable) {
            ConnectionPtr surplus;
            const std::lock_guard lock{mutex};
            std::erase(busy, connection);
            if (!reusable || closed || options.max_idle_connections == 0 || options.idle_max.count() == 0) return;
            connection->idle_since = Clock::now();
            connection->used = true;
            if (idle.size() == options.max_idle_connections) {
                surplus = std::move(idle.front());
                idle.erase(idle.begin());
            }
            idle.push_back(connection);
            if (!sweeping) sweep_later();
        }
        /// Closes what has been idle for too long, also when nothing is sent any more. `mutex` is held.
        void sweep_later() {
            sweeping = true;
            sweeper.expires_at(idle.front()->idle_since + options.idle_max);
            sweeper.async_wait([weak = this->weak_from_this()](error_code) {
                if (const auto core = weak.lock()) core->sweep();
            });
        }
        void sweep() {
            std::vector<ConnectionPtr> stale; // closed outside the lock
            const std::lock_guard lock{mutex};
            sweeping = false;
            const auto now = Clock::now();
            while (!idle.empty() && now - idle.front()->idle_since >= options.idle_max) {
                stale.push_back(std::move(idle.front()));
                idle.erase(idle.begin());
            }
            if (!idle.empty()) sweep_later();
        }
        void shutdown() noexcept {
            std::vector<ConnectionPtr> under_way;
            {
                const std::lock_guard lock{mutex};
                closed = true;
                idle.clear();
                sweeper.cancel();
                under_way = busy;
            }
            for (const auto& connection : under_way)
                asio::post(connection->strand, [connection] {
                    connection->cancelled = true;
                    connection->opening.emit(asio::cancellation_type::terminal);
                    abort_stream(connection->stream);
                });
        }

        const asio::any_io_executor executor;
        const HttpOptions options;
        const detail::ServerUrl url;
        C connector;
        std::string fields; ///< what every request's head has between its target and its length
        std::mutex mutex;
        std::vector<ConnectionPtr> idle; ///< the longest idle first
        std::vector<ConnectionPtr> busy;
        asio::basic_waitable_timer<Clock> sweeper;
        bool sweeping = false;
        bool closed = false;
    };

    static asio::awaitable<Reply> send(std::shared_ptr<Core> core, Request request, AnswerSink* sink) {
        const auto deadline = Clock::now() + std::chrono::duration_cast<typename Clock::duration>(request.timeout);
        for (bool fresh = false;; fresh = true) {
            const auto connection = core->take(fresh);
            if (!connection) {
                Reply reply;
                reply.error = asio::error::operation_aborted;
                co_return reply;
            }
            const bool reused = connection->used; // once it is back in the pool it is another's
            Reply reply = co_await asio::co_spawn(connection->strand, carry(core, connection, request, deadline, sink),
                                                  asio::use_awaitable);
            reply.connection_reused = reused;
            const bool was_closed = reused && reply.error && reply.status == 0 && reply.sent == Sent::none &&
                                    reply.error != asio::error::operation_aborted;
            if (!was_closed || Clock::now() >= deadline) co_return reply;
        }
    }
    /// On the connection's strand.
    static asio::awaitable<Reply> carry(std::shared_ptr<Core> core, ConnectionPtr connection, Request request,
                                        time_point deadline, AnswerSink* sink) {
        co_await asio::this_coro::throw_if_cancelled(false);
        auto& c = *connection;
        Reply reply;
        bool reusable = false;
        try {
            if (!c.cancelled && !c.stream.is_open()) {
                const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
                const auto timeout = std::min(core->options.connect_timeout, left);
                reply.error =
                    co_await asio::co_spawn(c.strand, core->connector.open(c.stream, timeout),
                                            asio::bind_cancellation_slot(c.opening.slot(), asio::use_awaitable));
                if (reply.error) reply.detail = reply.error.message();
            }
            if (!reply.error && !c.cancelled) {
                const auto body = Encoder::encode(request.body, c.encoded);
                c.head.assign("POST ").append(core->url.path).append(request.target).append(core->fields);
                c.head.append(std::to_string(asio::buffer_size(body))).append("\r\n\r\n");
                ExchangeOptions<Clock> options;
                options.head = c.head;
                options.body = body;
                options.deadline = deadline;
                options.max_answer_bytes = core->options.max_answer_bytes;
                auto result = co_await http_exchange<Clock>(c.stream, c.buffer, options, *sink);
                reply = std::move(result.reply);
                reusable = result.reusable;
            }
            if (!reply.detail.empty()) reply.detail.insert(0, core->url.host_field + ": ");
        } catch (const std::exception& error) { // no memory, or a connector that breaks its promise
            reply.error = errc::no_answer;
            reply.sent = Sent::partial;
            reply.detail = detail::printable(error.what());
            reusable = false;
        }
        if (c.cancelled) {
            if (reply.error || reply.status == 0) reply.error = asio::error::operation_aborted; // not over an answer
            reusable = false;
        }
        if (!reusable) abort_stream(c.stream);
        core->put_back(connection, reusable);
        reply.node = 0;
        co_return reply;
    }

    std::shared_ptr<Core> core_;
};

/// Plain HTTP to one server.
using HttpTransport = basic_http_transport<PlainConnector<>>;
static_assert(Transport<HttpTransport>);

} // namespace bulkhead::inline v1
