// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/util/saturating_add.hpp>
#include <bulkhead/http/connector.hpp>
#include <bulkhead/http/detail/cluster.hpp>
#include <bulkhead/http/detail/exchange.hpp>
#include <bulkhead/http/encoder.hpp>
#include <bulkhead/http/http_options.hpp>
#include <bulkhead/http/plain_connector.hpp>
#include <bulkhead/transport.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// A transport over HTTP/1.1: chooses a node, sends the request over a kept connection, and moves on.
namespace bulkhead::inline v1 {

/// What else a node can be asked.
struct Question {
    std::string method = "GET"; ///< a token: `GET`, `POST`, `PUT`, `DELETE`
    /// Path and query, percent-encoded, beginning with a slash, nothing but visible ASCII; the URL's path goes before.
    std::string target = "/";
    std::string body{}; ///< JSON, or nothing
};

/// A `Transport` over HTTP/1.1: the nodes of one cluster, a pool of keep-alive connections to each, each on a strand of
/// its own, and bodies sent from the batch's own memory. As many connections as there are sends under way.
///
/// A handle; `send` is called on any executor, several at once, and completes there. A copy shares nodes, connections
/// and credentials with the original, so that several indexers may use one cluster's transport. `shutdown` ends what
/// was sent through its own handle, and no other's. A connection is used again when its last answer was read to a
/// proven end, nothing came after it, it has not been idle for longer than `idle_max`, and it is not older than
/// `connection_max_age`; it is looked at before. A new one looks the host's name up, and does not begin at the address
/// where the last one failed. Where a used connection turns out to be closed before it has taken a byte of the body,
/// the request moves to a fresh one; where a node took no byte of it at all, to another node, each at most once.
/// Anything else is for the indexer to judge. Redirects are never followed.
///
/// A request goes to the node with the fewest in flight. A node that failed is rested: see
/// `HttpOptions::node_first_rest`.
///
/// While connections are idle a timer is pending, so `io_context::run` returns only after `shutdown` (which the indexer
/// calls when it closes) or `idle_max`.
template <Connector C, BodyEncoder Encoder = IdentityEncoder, class Clock = std::chrono::steady_clock>
class basic_http_transport {
public:
    /// Throws `InvalidOption`. `connector`: what a connector is made of beside the nodes' addresses, e.g. `TlsOptions`.
    basic_http_transport(asio::any_io_executor executor, HttpOptions options = {}, C connector = {})
        : user_{std::make_shared<User>(
              std::make_shared<Cluster>(std::move(executor), std::move(options), std::move(connector)))} {}
    /// Shares the nodes and their connections. A copy of a handle that was shut down is shut down.
    basic_http_transport(const basic_http_transport& other)
        : user_{other.user_ ? other.user_->cluster->share(*other.user_) : nullptr} {}
    /// Takes the handle's place.
    basic_http_transport(basic_http_transport&&) noexcept = default;
    /// As copying; what was sent through the handle before goes on.
    basic_http_transport& operator=(const basic_http_transport& other) {
        if (this != &other) user_ = basic_http_transport{other}.user_;
        return *this;
    }
    /// As moving; what was sent through the handle before goes on.
    basic_http_transport& operator=(basic_http_transport&&) noexcept = default;
    ~basic_http_transport() = default;

    /// See `Transport`. Thread-safe.
    asio::awaitable<Reply> send(Request request, AnswerSink& sink) { return send(user_, request, &sink); }

    /// Asks one node something else than a bulk: see `Question`. `node`: 0 to `node_count() - 1`. Completes within
    /// `timeout` and as `send` does otherwise; with `invalid_operation` and nothing sent where the question could not
    /// be one line of a request. Says nothing about which node is chosen for later requests.
    asio::awaitable<Reply> ask(std::uint32_t node, Question question, std::chrono::nanoseconds timeout,
                               AnswerSink& sink) {
        return ask(user_, node, std::move(question), timeout, &sink);
    }
    /// How many nodes there are: `url` and `more_urls`.
    [[nodiscard]] std::uint32_t node_count() const noexcept {
        return static_cast<std::uint32_t>(user_->cluster->nodes.size());
    }
    /// A node's host and port, as they may be shown.
    [[nodiscard]] const std::string& node_name(std::uint32_t node) const noexcept {
        return user_->cluster->nodes[node].head.host_field();
    }

    /// Ends what was sent through this handle: sends under way complete soon with `operation_aborted`, later ones at
    /// once. Idle connections are closed. Other handles go on, over connections of their own.
    void shutdown() noexcept {
        if (user_) user_->cluster->shutdown(*user_);
    }

private:
    using Cluster = detail::Cluster<C, Encoder, Clock>;
    using ClusterPtr = std::shared_ptr<Cluster>;
    using User = typename Cluster::User;
    using UserPtr = typename Cluster::UserPtr;
    using Connection = typename Cluster::Connection;
    using ConnectionPtr = typename Cluster::ConnectionPtr;
    using time_point = typename Clock::time_point;

    /// One request on its way to one node.
    struct NodeRequest {
        std::uint32_t node = 0;
        Request request;
        std::string_view method = "POST";
        bool is_bulk = true;
        time_point deadline{};
        AnswerSink* sink = nullptr;
    };

    /// One request over one connection, as far as it has come.
    struct Attempt {
        Reply reply;
        bool reusable = false; ///< another request may follow on the connection
        std::uint64_t generation = 0;
        std::size_t wire_bytes = 0;
    };

    static time_point deadline_in(std::chrono::nanoseconds timeout) {
        return detail::saturating_add<Clock>(Clock::now(), timeout);
    }
    static asio::awaitable<Reply> send(UserPtr user, Request request, AnswerSink* sink) {
        const auto& cluster = user->cluster;
        NodeRequest to_node{0, request, "POST", true, deadline_in(request.timeout), sink};
        if (const auto node = cluster->to_probe(*user))
            asio::co_spawn(cluster->executor, probe(user, *node), asio::detached);
        std::vector<bool> tried(cluster->health.size());
        Reply reply;
        while (const auto node = cluster->choose(request.avoid_node, tried)) {
            tried[*node] = true;
            to_node.node = *node;
            reply = co_await deliver(user, to_node);
            cluster->ended(*node, reply);
            if (!reply.error || reply.status != 0 || reply.sent != Sent::none) break;
            if (reply.error == asio::error::operation_aborted || Clock::now() >= to_node.deadline) break;
        }
        co_return reply;
    }
    static asio::awaitable<Reply> ask(UserPtr user, std::uint32_t node, Question question,
                                      std::chrono::nanoseconds timeout, AnswerSink* sink) {
        Reply reply;
        const auto visible = [](char c) { return c > ' ' && c < '\x7f'; };
        if (!detail::is_header_name(question.method) || !question.target.starts_with('/') ||
            !std::all_of(question.target.begin(), question.target.end(), visible)) {
            reply.error = errc::invalid_operation;
            co_return reply;
        }
        const asio::const_buffer body[] = {asio::buffer(question.body)};
        NodeRequest to_node{node, {}, question.method, false, deadline_in(timeout), sink};
        to_node.request.target = question.target;
        if (!question.body.empty()) to_node.request.body = body;
        reply = co_await deliver(user, to_node);
        co_return reply;
    }
    static asio::awaitable<void> probe(UserPtr user, std::uint32_t node) {
        struct Nothing final : AnswerSink {
            bool on_body(std::string_view) override { return true; }
        } nothing;
        const auto timeout = user->cluster->options.connect_timeout + user->cluster->options.handshake_timeout;
        Question question;
        const Reply reply = co_await ask(user, node, std::move(question), timeout, &nothing);
        user->cluster->probed(node, reply);
    }
    /// To one node: over a connection that waits, or if that turns out to be closed, over a fresh one.
    static asio::awaitable<Reply> deliver(UserPtr user, NodeRequest to_node) {
        const auto& cluster = user->cluster;
        for (bool fresh = false;; fresh = true) {
            Reply reply;
            ConnectionPtr connection;
            try {
                connection = cluster->take(to_node.node, fresh, *user);
                if (!connection) reply.error = asio::error::operation_aborted;
            } catch (...) { // no memory, or a connector that breaks its promise
                reply.error = errc::no_answer;
                reply.detail = detail::current_error();
            }
            if (!connection) co_return reply;
            const bool reused = connection->used; // once it is back in the pool it is another's
            try {
                reply = co_await asio::co_spawn(connection->strand, carry(cluster, connection, to_node),
                                                asio::use_awaitable);
            } catch (...) { // no memory to begin with it, or to tell how it ended
                cluster->put_back(to_node.node, connection, false);
                reply.error = errc::no_answer;
                reply.sent = connection->handed_over ? Sent::partial : Sent::none;
                reply.detail = detail::current_error();
                co_return reply;
            }
            reply.connection_reused = reused;
            const bool was_closed = reused && reply.error && reply.status == 0 && reply.sent == Sent::none &&
                                    reply.error != asio::error::operation_aborted &&
                                    reply.error != error_code{errc::credentials_unavailable};
            if (!was_closed || Clock::now() >= to_node.deadline) co_return reply;
        }
    }
    /// A hook that throws, although it must not, changes nothing about the request.
    static void call(const std::function<void(const RequestEvent&)>& hook, const RequestEvent& event) noexcept {
        try {
            if (hook) hook(event);
        } catch (...) {
        }
    }
    /// Carries one request over one connection, on the connection's strand.
    static asio::awaitable<Reply> carry(ClusterPtr cluster, ConnectionPtr connection, NodeRequest to_node) {
        co_await asio::this_coro::throw_if_cancelled(false);
        const auto& request = to_node.request;
        RequestEvent event{to_node.node, cluster->nodes[to_node.node].head.host_field(), request.operations,
                           request.body_bytes};
        event.attempt = request.attempt;
        const auto began = Clock::now();
        const bool observed = to_node.is_bulk;
        if (observed) call(cluster->options.on_request_started, event);
        Attempt attempt;
        try {
            co_await open_and_send(cluster, connection, to_node, attempt);
            auto& detail = attempt.reply.detail;
            if (!detail.empty()) detail.insert(0, std::string{event.host} + ": ");
        } catch (...) { // no memory, or a connector that breaks its promise
            attempt.reply.error = errc::no_answer;
            attempt.reply.sent = connection->handed_over ? Sent::partial : Sent::none;
            attempt.reply.detail = detail::current_error();
            attempt.reusable = false;
        }
        finish(*cluster, *connection, to_node, attempt);
        event.wire_bytes = attempt.wire_bytes;
        event.status = attempt.reply.status;
        event.error = attempt.reply.error;
        event.latency = Clock::now() - began;
        event.connection_reused = connection->used;
        cluster->put_back(to_node.node, connection, attempt.reusable);
        if (observed) call(cluster->options.on_request_ended, event);
        co_return std::move(attempt.reply);
    }
    static asio::awaitable<void> open_and_send(ClusterPtr cluster, ConnectionPtr connection, NodeRequest to_node,
                                               Attempt& attempt) {
        auto& c = *connection;
        auto& reply = attempt.reply;
        if (!c.cancelled && !c.is_open()) {
            const Opened opened = co_await open(cluster, connection, to_node);
            reply.error = opened.error;
            reply.detail = opened.detail.empty() && opened.error ? opened.error.message() : opened.detail;
            c.address = opened.address;
            c.old_at = cluster->old_at();
        }
        if (reply.error || c.cancelled) co_return;
        const auto body = to_node.is_bulk ? c.encoder.encode(to_node.request.body) : to_node.request.body;
        attempt.wire_bytes = asio::buffer_size(body);
        auto head = cluster->nodes[to_node.node].head.write(
            c.head, {to_node.method, to_node.request.target, to_node.is_bulk}, body, cluster->authorization,
            cluster->options.signer, std::chrono::system_clock::now());
        attempt.generation = head.generation;
        attempt.reusable = static_cast<bool>(head.error); // nothing was sent over it
        if (head.error) {
            reply.error = head.error;
            reply.detail = std::move(head.problem);
            co_return;
        }
        detail::ExchangeOptions<Clock> options;
        options.head = c.head;
        options.body = body;
        options.deadline = to_node.deadline;
        options.write_timeout = cluster->options.write_timeout;
        options.max_answer_bytes = cluster->options.max_answer_bytes;
        c.handed_over = true;
        auto result = co_await detail::http_exchange<Clock>(c.stream, c.buffer, options, *to_node.sink);
        reply = std::move(result.reply);
        attempt.reusable = result.reusable;
        if constexpr (requires { C::explain(c.stream, reply); }) C::explain(c.stream, reply);
    }
    /// Draws the consequences of an attempt for its connection and for the credentials.
    static void finish(Cluster& cluster, Connection& c, const NodeRequest& to_node, Attempt& attempt) {
        auto& reply = attempt.reply;
        if (cluster.authorization.present() || cluster.options.signer) detail::wipe(c.head);
        if (reply.status == 401) cluster.authorization.refused(attempt.generation);
        if (c.cancelled) {
            if (reply.error || reply.status == 0) reply.error = asio::error::operation_aborted; // not over an answer
            attempt.reusable = false;
        }
        cluster.judge_address(to_node.node, c, reply);
        if (attempt.reusable && Clock::now() >= c.old_at) {
            c.closing();
            attempt.reusable = false;
        }
        if (!attempt.reusable) abort_stream(c.stream);
        reply.node = to_node.node;
    }
    static asio::awaitable<Opened> open(ClusterPtr cluster, ConnectionPtr connection, NodeRequest to_node) {
        co_await asio::this_coro::throw_if_cancelled(false);
        const auto& options = cluster->options;
        ConnectTimeouts timeouts{};
        timeouts.resolve = options.resolve_timeout;
        timeouts.connect = options.connect_timeout;
        timeouts.handshake = options.handshake_timeout;
        timeouts.total = std::chrono::ceil<std::chrono::milliseconds>(to_node.deadline - Clock::now());
        NodeAddress peer = cluster->address_of(to_node.node);
        Opened opened = co_await asio::co_spawn(
            connection->strand, cluster->connector.open(connection->stream, std::move(peer), timeouts),
            asio::bind_cancellation_slot(connection->opening.slot(), asio::use_awaitable));
        co_return opened;
    }

    UserPtr user_;
};

/// Plain HTTP.
using HttpTransport = basic_http_transport<PlainConnector<>>;
static_assert(Transport<HttpTransport>);

} // namespace bulkhead::inline v1
