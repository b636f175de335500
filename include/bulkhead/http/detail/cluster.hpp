// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/send/retry.hpp>
#include <bulkhead/detail/util/saturating_add.hpp>
#include <bulkhead/http/connector.hpp>
#include <bulkhead/http/detail/connection_pool.hpp>
#include <bulkhead/http/detail/node_set.hpp>
#include <bulkhead/http/detail/request_head.hpp>
#include <bulkhead/http/detail/server_url.hpp>
#include <bulkhead/http/detail/watchdog.hpp>
#include <bulkhead/http/http_options.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/stream_traits.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

/// The nodes of one cluster and the connections to them, as the handles of a transport share them.
namespace bulkhead::inline v1::detail {

/// The state behind `basic_http_transport`. `mutex` guards the members declared after it; the others are constant or
/// thread-safe.
template <class C, class Encoder, class Clock>
struct Cluster : std::enable_shared_from_this<Cluster<C, Encoder, Clock>> {
    using stream_type = typename C::stream_type;
    using time_point = typename Clock::time_point;
    using Address = asio::ip::tcp::endpoint;

    struct Connection : PooledConnection<time_point, Address> {
        Connection(const asio::any_io_executor& executor, C& connector, int compression_level)
            : strand{asio::make_strand(executor)}, stream{connector.make_stream(strand)}, encoder{compression_level} {}
        [[nodiscard]] bool is_open() { return boost::beast::get_lowest_layer(stream).is_open(); }
        [[nodiscard]] bool is_alive() { return C::alive(stream); }
        void closing() noexcept { C::closing(stream); }

        asio::strand<asio::any_io_executor> strand;
        stream_type stream;
        asio::cancellation_signal opening; ///< stops `Connector::open`
        boost::beast::flat_buffer buffer;
        Encoder encoder;
        std::string head;
        bool cancelled = false;
        bool handed_over = false; ///< the kernel may have taken a byte of the request's body
    };
    using Pool = ConnectionPool<Connection, time_point, Address>;
    using ConnectionPtr = typename Pool::Ptr;
    /// One handle; `closed` is under the cluster's mutex.
    struct User : PoolUser {
        explicit User(std::shared_ptr<Cluster> cluster_in) : cluster{std::move(cluster_in)} {}
        const std::shared_ptr<Cluster> cluster;
    };
    using UserPtr = std::shared_ptr<User>;

    struct Node {
        std::string host;
        std::string port;
        RequestHead head;
    };

    Cluster(asio::any_io_executor executor_in, HttpOptions options_in, C connector_in)
        : executor{std::move(executor_in)}, options{std::move(options_in)}, connector{std::move(connector_in)},
          health{options.more_urls.size() + 1, options.node_first_rest, options.node_longest_rest},
          pool{health.size(), options.max_idle_connections, options.idle_max}, sweeper{executor} {
        std::vector<ServerUrl> urls(health.size());
        for (std::size_t i = 0; i < urls.size(); ++i) {
            refuse(take_url(url_of(i), urls[i]), field_of(i));
            if (urls[i].credentials) wipe(url_of(i)); // it holds the password
        }
        // Only now: user and password of one URL are sent to all nodes, and exclude other credentials.
        if (auto wrong = validate(options)) throw InvalidOption{std::move(*wrong)};
        if (C::scheme == "http")
            for (std::size_t i = 0; i < urls.size(); ++i)
                refuse(refuse_secrets_in_clear(options, urls[i].host), field_of(i));
        if (auto wrong = authorization.configure(options.credentials)) throw InvalidOption{std::move(*wrong)};
        for (auto& url : urls) {
            RequestHead head{url.host_field, url.path, options, Encoder::content_encoding};
            nodes.push_back({std::move(url.host), std::move(url.port), std::move(head)});
        }
    }
    [[nodiscard]] std::string& url_of(std::size_t i) { return i == 0 ? options.url : options.more_urls[i - 1]; }
    [[nodiscard]] static const char* field_of(std::size_t i) { return i == 0 ? "url" : "more_urls"; }
    static void refuse(std::optional<FieldError> wrong, const char* field) {
        if (!wrong) return;
        wrong->field = field;
        throw InvalidOption{std::move(*wrong)};
    }
    [[nodiscard]] std::optional<FieldError> take_url(const std::string& text, ServerUrl& url) {
        if (auto wrong = parse_server_url(text, C::scheme, C::default_port, url)) return wrong;
        return url.credentials ? take_over(*url.credentials, options.credentials) : std::nullopt;
    }

    UserPtr share(const User& user) {
        auto copy = std::make_shared<User>(this->shared_from_this());
        const std::lock_guard lock{mutex};
        copy->closed = user.closed;
        return copy;
    }

    // ---- Which connection ----

    /// A connection that waits for work and still seems alive, or a new one; nullptr after `shutdown`.
    ConnectionPtr take(std::uint32_t node, bool fresh, const User& user) {
        if (auto idle = fresh ? nullptr : take_idle(node, user)) return idle;
        auto connection = std::make_shared<Connection>(executor, connector, options.compression_level);
        const std::lock_guard lock{mutex};
        return pool.add(connection, user) ? connection : nullptr;
    }
    ConnectionPtr take_idle(std::uint32_t node, const User& user) {
        std::vector<ConnectionPtr> stale; // closed outside the lock
        const std::lock_guard lock{mutex};
        auto connection = pool.take_idle(node, user, Clock::now(), stale);
        if (connection) connection->handed_over = false;
        return connection;
    }
    void put_back(std::uint32_t node, const ConnectionPtr& connection, bool reusable) noexcept {
        ConnectionPtr surplus; // closed outside the lock
        const std::lock_guard lock{mutex};
        surplus = pool.put_back(node, connection, reusable, Clock::now());
        try {
            if (!sweeping && pool.idle() != 0) sweep_later();
        } catch (...) { // no memory: whether it is alive is checked before its next use all the same
        }
    }
    /// When a connection that is made now is too old.
    [[nodiscard]] time_point old_at() {
        const std::chrono::nanoseconds max_age = options.connection_max_age;
        if (max_age.count() == 0) return time_point::max();
        const std::lock_guard lock{mutex};
        const auto spread = static_cast<std::uint64_t>(max_age.count() / 4) + 1;
        return saturating_add<Clock>(Clock::now(),
                                     max_age - std::chrono::nanoseconds{static_cast<std::int64_t>(jitter() % spread)});
    }
    [[nodiscard]] NodeAddress address_of(std::uint32_t node) {
        const std::lock_guard lock{mutex};
        return {nodes[node].host, nodes[node].port, pool.failed_address(node)};
    }
    void judge_address(std::uint32_t node, const Connection& connection, const Reply& reply) {
        const std::lock_guard lock{mutex};
        pool.judge_address(node, connection, reply);
    }
    /// Closes what has been idle for too long, also when nothing is sent any more. `mutex` is held.
    void sweep_later() {
        sweeper.expires_at(saturating_add<Clock>(pool.oldest_idle(), options.idle_max));
        sweeper.async_wait([weak = this->weak_from_this()](error_code) {
            if (const auto cluster = weak.lock()) cluster->sweep();
        });
        sweeping = true;
    }
    void sweep() {
        std::vector<ConnectionPtr> stale; // closed outside the lock
        const std::lock_guard lock{mutex};
        sweeping = false;
        pool.sweep(Clock::now(), stale);
        if (pool.idle() != 0) sweep_later();
    }
    void shutdown(User& user) noexcept {
        std::vector<ConnectionPtr> under_way;
        {
            const std::lock_guard lock{mutex};
            under_way = pool.shutdown(user);
            sweeper.cancel();
        }
        for (const auto& connection : under_way)
            asio::post(connection->strand, [connection] {
                connection->cancelled = true;
                connection->opening.emit(asio::cancellation_type::terminal);
                abort_stream(connection->stream);
            });
    }

    // ---- Which node ----

    static std::chrono::nanoseconds now() { return Clock::now().time_since_epoch(); }
    std::optional<std::uint32_t> choose(std::uint32_t avoid, const std::vector<bool>& tried) {
        const std::lock_guard lock{mutex};
        return health.choose(avoid, tried);
    }
    void ended(std::uint32_t node, const Reply& reply) {
        const std::lock_guard lock{mutex};
        health.ended(node, speaks_against_node(reply), now());
    }
    std::optional<std::uint32_t> to_probe(const User& user) {
        const std::lock_guard lock{mutex};
        return user.closed ? std::nullopt : health.to_probe(now());
    }
    void probed(std::uint32_t node, const Reply& reply) {
        const bool in_vain = reply.error == asio::error::operation_aborted; // its handle was shut down
        const std::lock_guard lock{mutex};
        health.probed(node, in_vain || speaks_against_node(reply), now());
    }

    const asio::any_io_executor executor;
    HttpOptions options;
    C connector;
    std::vector<Node> nodes;
    Authorization authorization;
    std::mutex mutex;
    NodeSet health;
    Pool pool;
    asio::basic_waitable_timer<Clock> sweeper;
    bool sweeping = false;
    Jitter jitter{};
};

} // namespace bulkhead::inline v1::detail
