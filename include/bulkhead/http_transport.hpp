// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/http_exchange.hpp>
#include <bulkhead/http_options.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>

#include <algorithm>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace bulkhead::inline v1 {

/// Makes connections for a `basic_http_transport`. `open` resolves and connects, on the stream's executor, and
/// completes within `timeout` for each of the two, whatever the network does; it must not throw. `close` may be called
/// at any time, on that executor, and makes `open` complete soon. `alive` says without waiting whether an idle
/// connection can still be used: not when the peer has closed it, nor when it has sent something that nobody asked for.
template <class C>
concept Connector = requires(C& connector, typename C::stream_type& stream, std::chrono::milliseconds timeout) {
    typename C::stream_type;
    { connector.open(stream, timeout) } -> std::same_as<asio::awaitable<error_code>>;
    { C::alive(stream) } -> std::same_as<bool>;
    { C::scheme } -> std::convertible_to<std::string_view>;
};

/// Plain TCP.
template <class Clock = std::chrono::steady_clock>
class PlainConnector {
public:
    using stream_type = asio::ip::tcp::socket;
    static constexpr std::string_view scheme = "http";

    PlainConnector(std::string host, std::string port) : host_{std::move(host)}, port_{std::move(port)} {}

    asio::awaitable<error_code> open(stream_type& socket, std::chrono::milliseconds timeout) {
        using asio::ip::tcp;
        const asio::any_io_executor executor = co_await asio::this_coro::executor;

        // A name is looked up on a thread that cannot be interrupted: the look-up is left behind when its time is over.
        struct Lookup {
            explicit Lookup(const asio::any_io_executor& executor) : resolver{executor}, done{executor} {}
            tcp::resolver resolver;
            asio::basic_waitable_timer<Clock> done;
            tcp::resolver::results_type endpoints;
            error_code error = errc::resolve_timeout;
            bool over = false;
        };
        const auto lookup = std::make_shared<Lookup>(executor);
        lookup->done.expires_at(Clock::now() + timeout);
        lookup->resolver.async_resolve(host_, port_,
                                       [lookup](const error_code& error, tcp::resolver::results_type endpoints) {
                                           lookup->error = error;
                                           lookup->endpoints = std::move(endpoints);
                                           lookup->over = true;
                                           lookup->done.cancel();
                                       });
        error_code error;
        if (!lookup->over) co_await lookup->done.async_wait(asio::redirect_error(asio::use_awaitable, error));
        if (!lookup->over) lookup->resolver.cancel();
        if (lookup->error) co_return lookup->error;

        {
            detail::Watchdog<Clock> watchdog{executor, Clock::now() + timeout, [&socket] { abort_stream(socket); }};
            co_await asio::async_connect(socket, lookup->endpoints, asio::redirect_error(asio::use_awaitable, error));
            if (error && watchdog.bitten()) error = errc::connect_timeout;
        }
        if (!error) {
            error_code ignored; // these make it faster and sturdier; it works without
            socket.set_option(tcp::no_delay{true}, ignored);
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
template <Connector C, class Encoder = IdentityEncoder, class Clock = std::chrono::steady_clock>
class basic_http_transport {
public:
    /// Throws `InvalidOption`.
    basic_http_transport(asio::any_io_executor executor, HttpOptions options = {}) {
        detail::ServerUrl url;
        if (auto wrong = validate(options)) throw InvalidOption{std::move(*wrong)};
        if (auto wrong = detail::parse_server_url(options.url, C::scheme, url)) throw InvalidOption{std::move(*wrong)};
        C connector{url.host, url.port};
        core_ = std::make_shared<Core>(std::move(executor), std::move(options), std::move(url), std::move(connector));
    }
    /// The same with a connector of the caller's making; of the URL only its path and `Host` field are used.
    basic_http_transport(asio::any_io_executor executor, HttpOptions options, C connector) {
        detail::ServerUrl url;
        if (auto wrong = validate(options)) throw InvalidOption{std::move(*wrong)};
        if (auto wrong = detail::parse_server_url(options.url, C::scheme, url)) throw InvalidOption{std::move(*wrong)};
        core_ = std::make_shared<Core>(std::move(executor), std::move(options), std::move(url), std::move(connector));
    }

    /// See `Transport`. Thread-safe.
    asio::awaitable<Reply> send(Request request, AnswerSink& sink) { return send(core_, request, &sink); }

    /// Closes every connection: sends under way complete soon with `operation_aborted`, later ones at once.
    void shutdown() noexcept {
        if (core_) core_->shutdown();
    }

private:
    using stream_type = typename C::stream_type;
    using time_point = typename Clock::time_point;

    struct Connection {
        explicit Connection(const asio::any_io_executor& executor)
            : strand{asio::make_strand(executor)}, stream{strand} {}
        asio::strand<asio::any_io_executor> strand;
        stream_type stream;
        boost::beast::flat_buffer buffer;
        std::string head;
        std::string encoded;
        time_point idle_since{};
        bool used = false;
        bool cancelled = false;
    };
    using ConnectionPtr = std::shared_ptr<Connection>;

    struct Core {
        Core(asio::any_io_executor executor_in, HttpOptions options_in, detail::ServerUrl url_in, C connector_in)
            : executor{std::move(executor_in)}, options{std::move(options_in)}, url{std::move(url_in)},
              connector{std::move(connector_in)} {
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
            if (!reusable || closed || options.max_idle_connections == 0) return;
            connection->idle_since = Clock::now();
            connection->used = true;
            if (idle.size() == options.max_idle_connections) {
                surplus = std::move(idle.front());
                idle.erase(idle.begin());
            }
            idle.push_back(connection);
        }
        void shutdown() noexcept {
            std::vector<ConnectionPtr> under_way;
            {
                const std::lock_guard lock{mutex};
                closed = true;
                idle.clear();
                under_way = busy;
            }
            for (const auto& connection : under_way)
                asio::post(connection->strand, [connection] {
                    connection->cancelled = true;
                    abort_stream(connection->stream);
                });
        }

        const asio::any_io_executor executor;
        const HttpOptions options;
        const detail::ServerUrl url;
        C connector;
        std::string fields; ///< what every request's head has between its target and its length
        std::mutex mutex;
        std::vector<ConnectionPtr> idle;
        std::vector<ConnectionPtr> busy;
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
            Reply reply = co_await asio::co_spawn(connection->strand, carry(core, connection, request, deadline, sink),
                                                  asio::use_awaitable);
            const bool was_closed = connection->used && reply.error && reply.status == 0 && reply.sent == Sent::none &&
                                    reply.error != asio::error::operation_aborted;
            reply.connection_reused = std::exchange(connection->used, true);
            if (!was_closed || fresh || Clock::now() >= deadline) co_return reply;
        }
    }
    /// On the connection's strand.
    static asio::awaitable<Reply> carry(std::shared_ptr<Core> core, ConnectionPtr connection, Request request,
                                        time_point deadline, AnswerSink* sink) {
        auto& c = *connection;
        Reply reply;
        bool reusable = false;
        if (!c.stream.is_open()) {
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
            reply.error = co_await core->connector.open(c.stream, std::min(core->options.connect_timeout, left));
            if (reply.error) reply.detail = detail::printable(core->url.host_field + ": " + reply.error.message());
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
            if (!reply.detail.empty()) reply.detail.insert(0, core->url.host_field + ": ");
        }
        if (c.cancelled) {
            reply.error = asio::error::operation_aborted;
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
