// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/send/retry.hpp>
#include <bulkhead/detail/util/saturating_add.hpp>
#include <bulkhead/http/connector.hpp>
#include <bulkhead/http/detail/exchange.hpp>
#include <bulkhead/http/detail/node_set.hpp>
#include <bulkhead/http/encoder.hpp>
#include <bulkhead/http/http_options.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>

#include <algorithm>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

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
/// Anything else is for the indexer to judge. Which node: see `NodeSet`. Redirects are never followed.
///
/// While connections are idle a timer is pending, so `io_context::run` returns only after `shutdown` (which the indexer
/// calls when it closes) or `idle_max`.
template <Connector C, BodyEncoder Encoder = IdentityEncoder, class Clock = std::chrono::steady_clock>
class basic_http_transport {
public:
    /// Throws `InvalidOption`. `connector`: what a connector is made of beside the nodes' addresses, e.g. `TlsOptions`.
    basic_http_transport(asio::any_io_executor executor, HttpOptions options = {}, C connector = {})
        : user_{std::make_shared<User>(
              std::make_shared<Core>(std::move(executor), std::move(options), std::move(connector)))} {}
    /// Shares the nodes and their connections. A copy of a handle that was shut down is shut down.
    basic_http_transport(const basic_http_transport& other)
        : user_{other.user_ ? other.user_->core->share(*other.user_) : nullptr} {}
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
        return static_cast<std::uint32_t>(user_->core->nodes.size());
    }
    /// A node's host and port, as they may be shown.
    [[nodiscard]] const std::string& node_name(std::uint32_t node) const noexcept {
        return user_->core->nodes[node].url.host_field;
    }

    /// Ends what was sent through this handle: sends under way complete soon with `operation_aborted`, later ones at
    /// once. Idle connections are closed. Other handles go on, over connections of their own.
    void shutdown() noexcept {
        if (user_) user_->core->shutdown(*user_);
    }

private:
    using stream_type = typename C::stream_type;
    using time_point = typename Clock::time_point;

    struct User;
    struct Connection {
        Connection(const asio::any_io_executor& executor, C& connector, int compression_level)
            : strand{asio::make_strand(executor)}, stream{connector.make_stream(strand)}, encoder{compression_level} {}
        [[nodiscard]] bool is_open() { return boost::beast::get_lowest_layer(stream).is_open(); }

        asio::strand<asio::any_io_executor> strand;
        stream_type stream;
        asio::cancellation_signal opening; ///< stops `Connector::open`
        boost::beast::flat_buffer buffer;
        Encoder encoder;
        std::string head;
        time_point idle_since{};
        time_point old_at = time_point::max(); ///< from then on it is not used again
        std::optional<asio::ip::tcp::endpoint> address{};
        const User* user = nullptr; ///< whose request it carries; under the core's mutex
        bool used = false;
        bool cancelled = false;
        bool handed_over = false; ///< the kernel may have taken a byte of the request's body
    };
    using ConnectionPtr = std::shared_ptr<Connection>;
    struct Core;

    /// One handle.
    struct User {
        explicit User(std::shared_ptr<Core> core_in) : core{std::move(core_in)} {}
        const std::shared_ptr<Core> core;
        bool closed = false; ///< under the core's mutex
    };
    using UserPtr = std::shared_ptr<User>;

    struct Node {
        detail::ServerUrl url;
        std::string fields;              ///< what every request's head has between its target and what is its own
        std::vector<ConnectionPtr> idle; ///< the longest idle first
        /// Where a connection failed after it was made, and nothing has gone well since.
        std::optional<asio::ip::tcp::endpoint> failed_address{};
    };

    /// One request on its way to one node.
    struct Errand {
        std::uint32_t node = 0;
        Request request;
        std::string_view method = "POST";
        bool is_bulk = true;
        time_point deadline{};
        AnswerSink* sink = nullptr;
    };

    struct Core : std::enable_shared_from_this<Core> {
        Core(asio::any_io_executor executor_in, HttpOptions options_in, C connector_in)
            : executor{std::move(executor_in)}, options{std::move(options_in)}, connector{std::move(connector_in)},
              health{options.more_urls.size() + 1, options.node_first_rest, options.node_longest_rest}, sweeper{
                                                                                                            executor} {
            nodes.resize(health.size());
            for (std::size_t i = 0; i < nodes.size(); ++i) {
                prepare(nodes[i], url_of(i), field_of(i));
                if (nodes[i].url.credentials) detail::wipe(url_of(i)); // it holds the password
            }
            // Only now: what one URL says of user and password goes to all nodes, and beside nothing else.
            if (auto wrong = validate(options)) throw InvalidOption{std::move(*wrong)};
            if (C::scheme == "http")
                for (std::size_t i = 0; i < nodes.size(); ++i)
                    refuse(detail::refuse_secrets_in_clear(options, nodes[i].url.host), field_of(i));
            if (auto wrong = authorization.configure(options.credentials)) throw InvalidOption{std::move(*wrong)};
            if (Encoder::content_encoding.empty()) return;
            body_fields.append("Content-Encoding: ").append(Encoder::content_encoding).append("\r\n");
        }
        [[nodiscard]] std::string& url_of(std::size_t i) { return i == 0 ? options.url : options.more_urls[i - 1]; }
        [[nodiscard]] static const char* field_of(std::size_t i) { return i == 0 ? "url" : "more_urls"; }
        static void refuse(std::optional<FieldError> wrong, const char* field) {
            if (!wrong) return;
            wrong->field = field;
            throw InvalidOption{std::move(*wrong)};
        }
        void prepare(Node& node, const std::string& url, const char* field) {
            auto wrong = detail::parse_server_url(url, C::scheme, C::default_port, node.url);
            if (!wrong && node.url.credentials) wrong = detail::take_over(*node.url.credentials, options.credentials);
            refuse(std::move(wrong), field);
            const auto version = options.compatible_with;
            const auto type = [version](const std::string& plain) {
                if (version == 0) return "application/" + plain;
                return "application/vnd.elasticsearch+" + plain + "; compatible-with=" + std::to_string(version);
            };
            node.fields = " HTTP/1.1\r\nHost: " + node.url.host_field + "\r\nUser-Agent: " + options.user_agent +
                          "\r\nAccept: " + type("json") + "\r\nAccept-Encoding: identity\r\n";
            for (const auto& [name, value] : options.headers) node.fields.append(name + ": " + value + "\r\n");
            body_fields = "Content-Type: " + type("x-ndjson") + "\r\n";
        }

        UserPtr share(const User& user) {
            auto copy = std::make_shared<User>(this->shared_from_this());
            const std::lock_guard lock{mutex};
            copy->closed = user.closed;
            return copy;
        }

        /// A connection that waits for work and still seems alive, or a new one; nullptr after `shutdown`.
        ConnectionPtr take(std::uint32_t index, bool fresh, const User& user) {
            if (auto idle = fresh ? nullptr : take_idle(index, user)) return idle;
            auto connection = std::make_shared<Connection>(executor, connector, options.compression_level);
            const std::lock_guard lock{mutex};
            if (user.closed) return nullptr;
            busy.push_back(connection);
            connection->user = &user;
            return connection;
        }
        ConnectionPtr take_idle(std::uint32_t index, const User& user) {
            std::vector<ConnectionPtr> stale; // closed outside the lock
            const std::lock_guard lock{mutex};
            const auto now = Clock::now();
            auto& idle = nodes[index].idle;
            while (!user.closed && !idle.empty()) {
                auto connection = std::move(idle.back()); // the one used last is the likeliest to be alive
                idle.pop_back();
                --idle_count;
                const bool fit = now - connection->idle_since <= options.idle_max && now < connection->old_at &&
                                 !(connection->address && connection->address == nodes[index].failed_address);
                if (fit && C::alive(connection->stream)) {
                    busy.push_back(connection);
                    connection->user = &user;
                    connection->handed_over = false;
                    return connection;
                }
                stale.push_back(std::move(connection));
            }
            return nullptr;
        }
        /// Ends the use of a connection. Without memory it is not kept.
        void put_back(std::uint32_t index, const ConnectionPtr& connection, bool reusable) noexcept {
            ConnectionPtr surplus;
            const std::lock_guard lock{mutex};
            std::erase(busy, connection);
            const bool closed = connection->user == nullptr || connection->user->closed;
            connection->user = nullptr;
            if (!reusable || closed || options.max_idle_connections == 0 || options.idle_max.count() == 0) return;
            try {
                nodes[index].idle.reserve(nodes[index].idle.size() + 1);
                if (idle_count == options.max_idle_connections) surplus = longest_idle();
                connection->idle_since = Clock::now();
                connection->used = true;
                nodes[index].idle.push_back(connection);
                ++idle_count;
                if (!sweeping) sweep_later();
            } catch (...) { // no memory: it is looked at before its next use all the same
            }
        }
        /// When a connection that is made now is too old.
        [[nodiscard]] time_point old_at() {
            const std::chrono::nanoseconds most = options.connection_max_age;
            if (most.count() == 0) return time_point::max();
            const std::lock_guard lock{mutex};
            const auto spread = static_cast<std::uint64_t>(most.count() / 4) + 1;
            return detail::saturating_add<Clock>(
                Clock::now(), most - std::chrono::nanoseconds{static_cast<std::int64_t>(jitter() % spread)});
        }
        [[nodiscard]] NodeAddress address_of(std::uint32_t index) {
            const std::lock_guard lock{mutex};
            return {nodes[index].url.host, nodes[index].url.port, nodes[index].failed_address};
        }
        void judge_address(std::uint32_t index, const Connection& connection, const Reply& reply) {
            if (!connection.address) return;
            const std::lock_guard lock{mutex};
            auto& failed = nodes[index].failed_address;
            if (speaks_against_address(reply, connection.used))
                failed = connection.address;
            else if (!reply.error && failed == connection.address)
                failed.reset();
        }
        /// The node with the connection that has been idle for longest; `idle_count` is not 0, and `mutex` is held.
        Node& idlest() {
            Node* idlest = nullptr;
            for (auto& node : nodes)
                if (!node.idle.empty() &&
                    (idlest == nullptr || node.idle.front()->idle_since < idlest->idle.front()->idle_since))
                    idlest = &node;
            return *idlest;
        }
        ConnectionPtr longest_idle() {
            auto& node = idlest();
            auto connection = std::move(node.idle.front());
            node.idle.erase(node.idle.begin());
            --idle_count;
            C::closing(connection->stream);
            return connection;
        }
        /// Closes what has been idle for too long, also when nothing is sent any more. `mutex` is held.
        void sweep_later() {
            const auto oldest = idlest().idle.front()->idle_since;
            sweeper.expires_at(detail::saturating_add<Clock>(oldest, options.idle_max));
            sweeper.async_wait([weak = this->weak_from_this()](error_code) {
                if (const auto core = weak.lock()) core->sweep();
            });
            sweeping = true;
        }
        void sweep() {
            std::vector<ConnectionPtr> stale; // closed outside the lock
            const std::lock_guard lock{mutex};
            sweeping = false;
            const auto now = Clock::now();
            while (idle_count != 0 && now - idlest().idle.front()->idle_since >= options.idle_max)
                stale.push_back(longest_idle());
            if (idle_count != 0) sweep_later();
        }
        void shutdown(User& user) noexcept {
            std::vector<ConnectionPtr> under_way;
            {
                const std::lock_guard lock{mutex};
                user.closed = true;
                for (auto& node : nodes) {
                    for (const auto& connection : node.idle) C::closing(connection->stream);
                    node.idle.clear();
                }
                idle_count = 0;
                sweeper.cancel();
                for (const auto& connection : busy)
                    if (connection->user == &user) under_way.push_back(connection);
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

        // ---- What a request's head says ----

        /// `generation`: of the credentials used. `problem`: why there were none.
        error_code write_head(Connection& c, const Errand& errand, std::span<const asio::const_buffer> body,
                              std::uint64_t& generation, std::string& problem) {
            const auto& node = nodes[errand.node];
            c.head.clear();
            detail::make_room(c.head, node.url.path.size() + errand.request.target.size() + node.fields.size() + 64);
            c.head.append(errand.method)
                .append(" ")
                .append(node.url.path)
                .append(errand.request.target)
                .append(node.fields);
            if (!authorization.append_to(c.head, generation, problem)) return errc::credentials_unavailable;
            try {
                if (options.signer) sign(c.head, node, errand, body);
            } catch (...) {
                problem = detail::current_error();
                return errc::credentials_unavailable;
            }
            detail::make_room(c.head, body_fields.size() + 128);
            if (!body.empty())
                c.head.append(errand.is_bulk ? body_fields : "Content-Type: application/json\r\n")
                    .append("Content-Length: ")
                    .append(std::to_string(asio::buffer_size(body)))
                    .append("\r\n");
            c.head.append("\r\n");
            return {};
        }
        void sign(std::string& head, const Node& node, const Errand& errand,
                  std::span<const asio::const_buffer> body) const {
            const std::string target = node.url.path + std::string{errand.request.target};
            const auto mark = target.find('?');
            const std::string_view whole{target};
            SigningInput input;
            input.method = errand.method;
            input.host = node.url.host_field;
            input.path = whole.substr(0, mark);
            if (mark != std::string::npos) input.query = whole.substr(mark + 1);
            input.body = body;
            input.now = std::chrono::system_clock::now();
            HeaderFields fields;
            options.signer(input, fields);
            for (auto& [name, value] : fields) {
                if (!detail::is_header_name(name) || !detail::is_header_value(value) || detail::is_own_header(name))
                    throw std::runtime_error{"the signer made a header field that cannot be sent"};
                detail::make_room(head, name.size() + value.size() + 4);
                head.append(name).append(": ").append(value).append("\r\n");
                detail::wipe(value);
            }
        }

        const asio::any_io_executor executor;
        HttpOptions options;
        C connector;
        std::vector<Node> nodes; ///< the idle connections under `mutex`, all else constant
        std::string body_fields;
        detail::Authorization authorization;
        std::mutex mutex;
        NodeSet health;
        std::vector<ConnectionPtr> busy;
        std::size_t idle_count = 0;
        asio::basic_waitable_timer<Clock> sweeper;
        bool sweeping = false;
        Jitter jitter{}; ///< under `mutex`
    };

    static time_point deadline_in(std::chrono::nanoseconds timeout) {
        return detail::saturating_add<Clock>(Clock::now(), timeout);
    }
    static asio::awaitable<Reply> send(UserPtr user, Request request, AnswerSink* sink) {
        const auto& core = user->core;
        Errand errand{0, request, "POST", true, deadline_in(request.timeout), sink};
        if (const auto node = core->to_probe(*user)) asio::co_spawn(core->executor, probe(user, *node), asio::detached);
        std::vector<bool> tried(core->health.size());
        Reply reply;
        while (const auto node = core->choose(request.avoid_node, tried)) {
            tried[*node] = true;
            errand.node = *node;
            reply = co_await deliver(user, errand);
            core->ended(*node, reply);
            if (!reply.error || reply.status != 0 || reply.sent != Sent::none) break;
            if (reply.error == asio::error::operation_aborted || Clock::now() >= errand.deadline) break;
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
        Errand errand{node, {}, question.method, false, deadline_in(timeout), sink};
        errand.request.target = question.target;
        if (!question.body.empty()) errand.request.body = body;
        reply = co_await deliver(user, errand);
        co_return reply;
    }
    static asio::awaitable<void> probe(UserPtr user, std::uint32_t node) {
        struct Nothing final : AnswerSink {
            bool on_body(std::string_view) override { return true; }
        } nothing;
        const auto timeout = user->core->options.connect_timeout + user->core->options.handshake_timeout;
        Question question;
        const Reply reply = co_await ask(user, node, std::move(question), timeout, &nothing);
        user->core->probed(node, reply);
    }
    /// To one node: over a connection that waits, or if that turns out to be closed, over a fresh one.
    static asio::awaitable<Reply> deliver(UserPtr user, Errand errand) {
        const auto& core = user->core;
        for (bool fresh = false;; fresh = true) {
            Reply reply;
            ConnectionPtr connection;
            try {
                connection = core->take(errand.node, fresh, *user);
                if (!connection) reply.error = asio::error::operation_aborted;
            } catch (...) { // no memory, or a connector that breaks its promise
                reply.error = errc::no_answer;
                reply.detail = detail::current_error();
            }
            if (!connection) co_return reply;
            const bool reused = connection->used; // once it is back in the pool it is another's
            try {
                reply =
                    co_await asio::co_spawn(connection->strand, carry(core, connection, errand), asio::use_awaitable);
            } catch (...) { // no memory to begin with it, or to tell how it ended
                core->put_back(errand.node, connection, false);
                reply.error = errc::no_answer;
                reply.sent = connection->handed_over ? Sent::partial : Sent::none;
                reply.detail = detail::current_error();
                co_return reply;
            }
            reply.connection_reused = reused;
            const bool was_closed = reused && reply.error && reply.status == 0 && reply.sent == Sent::none &&
                                    reply.error != asio::error::operation_aborted &&
                                    reply.error != error_code{errc::credentials_unavailable};
            if (!was_closed || Clock::now() >= errand.deadline) co_return reply;
        }
    }
    /// A hook that throws, although it must not, changes nothing about the request.
    static void call(const std::function<void(const RequestEvent&)>& hook, const RequestEvent& event) noexcept {
        try {
            if (hook) hook(event);
        } catch (...) {
        }
    }
    /// On the connection's strand.
    static asio::awaitable<Reply> carry(std::shared_ptr<Core> core, ConnectionPtr connection, Errand errand) {
        co_await asio::this_coro::throw_if_cancelled(false);
        auto& c = *connection;
        const auto& node = core->nodes[errand.node];
        RequestEvent event{errand.node, node.url.host_field, errand.request.operations, errand.request.body_bytes};
        event.attempt = errand.request.attempt;
        const auto began = Clock::now();
        const bool observed = errand.is_bulk;
        if (observed) call(core->options.on_request_started, event);
        Reply reply;
        bool reusable = false;
        std::uint64_t generation = 0;
        try {
            if (!c.cancelled && !c.is_open()) {
                const Opened opened = co_await open(core, connection, errand);
                reply.error = opened.error;
                reply.detail = opened.detail.empty() && opened.error ? opened.error.message() : opened.detail;
                c.address = opened.address;
                c.old_at = core->old_at();
            }
            if (!reply.error && !c.cancelled) {
                const auto body = errand.is_bulk ? c.encoder.encode(errand.request.body) : errand.request.body;
                event.wire_bytes = asio::buffer_size(body);
                reply.error = core->write_head(c, errand, body, generation, reply.detail);
                reusable = static_cast<bool>(reply.error); // nothing was sent over it
                if (!reply.error) {
                    ExchangeOptions<Clock> options;
                    options.head = c.head;
                    options.body = body;
                    options.deadline = errand.deadline;
                    options.write_timeout = core->options.write_timeout;
                    options.max_answer_bytes = core->options.max_answer_bytes;
                    c.handed_over = true;
                    auto result = co_await http_exchange<Clock>(c.stream, c.buffer, options, *errand.sink);
                    reply = std::move(result.reply);
                    reusable = result.reusable;
                    if constexpr (requires { C::explain(c.stream, reply); }) C::explain(c.stream, reply);
                }
            }
            if (!reply.detail.empty()) reply.detail.insert(0, node.url.host_field + ": ");
        } catch (...) { // no memory, or a connector that breaks its promise
            reply.error = errc::no_answer;
            reply.sent = c.handed_over ? Sent::partial : Sent::none;
            reply.detail = detail::current_error();
            reusable = false;
        }
        if (core->authorization.present() || core->options.signer) detail::wipe(c.head);
        if (reply.status == 401) core->authorization.refused(generation);
        if (c.cancelled) {
            if (reply.error || reply.status == 0) reply.error = asio::error::operation_aborted; // not over an answer
            reusable = false;
        }
        core->judge_address(errand.node, c, reply);
        if (reusable && Clock::now() >= c.old_at) {
            C::closing(c.stream);
            reusable = false;
        }
        if (!reusable) abort_stream(c.stream);
        reply.node = errand.node;
        event.status = reply.status;
        event.error = reply.error;
        event.latency = Clock::now() - began;
        event.connection_reused = c.used;
        core->put_back(errand.node, connection, reusable);
        if (observed) call(core->options.on_request_ended, event);
        co_return reply;
    }
    static asio::awaitable<Opened> open(std::shared_ptr<Core> core, ConnectionPtr connection, Errand errand) {
        co_await asio::this_coro::throw_if_cancelled(false);
        const auto& options = core->options;
        ConnectTimeouts timeouts{};
        timeouts.resolve = options.resolve_timeout;
        timeouts.connect = options.connect_timeout;
        timeouts.handshake = options.handshake_timeout;
        timeouts.total = std::chrono::ceil<std::chrono::milliseconds>(errand.deadline - Clock::now());
        NodeAddress peer = core->address_of(errand.node);
        Opened opened = co_await asio::co_spawn(
            connection->strand, core->connector.open(connection->stream, std::move(peer), timeouts),
            asio::bind_cancellation_slot(connection->opening.slot(), asio::use_awaitable));
        co_return opened;
    }

    UserPtr user_;
};

/// Plain HTTP.
using HttpTransport = basic_http_transport<PlainConnector<>>;
static_assert(Transport<HttpTransport>);

} // namespace bulkhead::inline v1
