// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "support/tls_server.hpp"

#include <bulkhead/http/detail/exchange.hpp>
#include <bulkhead/test/manual_clock.hpp>
#include <bulkhead/tls.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/strand.hpp>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace tls_client {

using namespace bulkhead;
using namespace std::chrono_literals;
using certificates::Files;
using certificates::House;
using certificates::Identity;
using test::ManualClock;

/// Every name is this machine's.
struct LoopbackResolver {
    using Endpoints = asio::ip::tcp::resolver::results_type;
    explicit LoopbackResolver(asio::any_io_executor executor_in) : executor{std::move(executor_in)} {}
    template <class Handler>
    void async_resolve(const std::string& host, const std::string& port, Handler handler) {
        const asio::ip::tcp::endpoint endpoint{asio::ip::address_v4::loopback(),
                                               static_cast<asio::ip::port_type>(std::stoul(port))};
        asio::post(executor, [handler = std::move(handler), found = Endpoints::create(endpoint, host, port)]() mutable {
            handler(error_code{}, std::move(found));
        });
    }
    void cancel() {}
    asio::any_io_executor executor;
};

struct Sink final : AnswerSink {
    std::string bytes;
    bool on_body(std::string_view more) override {
        bytes += more;
        return true;
    }
};

/// A connection, and what became of what was done with it. Real sockets on one thread, virtual time.
template <class Connector = TlsConnector<ManualClock, LoopbackResolver>>
class Client {
public:
    struct Connection {
        explicit Connection(typename Connector::stream_type made) : stream{std::move(made)} {}
        typename Connector::stream_type stream;
        // Asio looks at the signal once more when the coroutine that set `opened` has ended.
        std::shared_ptr<asio::cancellation_signal> signal = std::make_shared<asio::cancellation_signal>();
        asio::cancellation_signal& stop = *signal;
        boost::beast::flat_buffer buffer;
        std::optional<Opened> opened;
        std::string head;
        std::string text;
        std::vector<asio::const_buffer> body{};
        Sink sink;
        std::optional<bulkhead::detail::ExchangeResult> result;
    };

    explicit Client(asio::io_context& context, const TlsOptions& options = {})
        : context_{context}, connector_{options} {
        ManualClock::reset();
    }
    std::unique_ptr<Connection> start(const std::string& host, std::uint16_t port) {
        const asio::any_io_executor strand = asio::make_strand(context_);
        auto connection = std::make_unique<Connection>(connector_.make_stream(strand));
        asio::co_spawn(strand, open(connector_, *connection, {host, std::to_string(port)}),
                       asio::bind_cancellation_slot(connection->stop.slot(),
                                                    [keep = connection->signal](const std::exception_ptr&) {}));
        return connection;
    }
    std::unique_ptr<Connection> connect(const std::string& host, std::uint16_t port) {
        auto connection = start(host, port);
        until([&] { return connection->opened.has_value(); });
        return connection;
    }
    void send(Connection& c, std::string text = "{\"index\":{}}\n{\"a\":1}\n") {
        c.text = std::move(text);
        send(c, std::vector<asio::const_buffer>{asio::buffer(c.text)});
    }
    void send(Connection& c, std::vector<asio::const_buffer> pieces) {
        c.body = std::move(pieces);
        c.result.reset();
        c.sink.bytes.clear();
        const auto size = asio::buffer_size(c.body);
        c.head = "POST /_bulk HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(size) + "\r\n\r\n";
        asio::co_spawn(c.stream.get_executor(), exchange(c), asio::detached);
    }
    /// Sends and waits for what becomes of it.
    template <class... Body>
    const Reply& ask(Connection& c, Body... body) {
        send(c, std::move(body)...);
        until([&] { return c.result.has_value(); });
        return c.result->reply;
    }
    /// Runs until `done`; time stands still.
    template <class F>
    void until(F done) {
        while (!done()) {
            context_.restart();
            context_.poll_one(); // not `poll`: a script that waits by posting is never idle
        }
    }
    Connector& connector() noexcept { return connector_; }

private:
    static asio::awaitable<void> open(Connector& connector, Connection& c, NodeAddress peer) {
        const ConnectTimeouts timeouts{1s, 2s, 3s, 10s};
        c.opened = co_await connector.open(c.stream, peer, timeouts);
    }
    static asio::awaitable<void> exchange(Connection& c) {
        bulkhead::detail::ExchangeOptions<ManualClock> options;
        options.head = c.head;
        options.body = c.body;
        options.deadline = ManualClock::now() + 30s;
        auto result = co_await bulkhead::detail::http_exchange<ManualClock>(c.stream, c.buffer, options, c.sink);
        Connector::explain(c.stream, result.reply);
        c.result = std::move(result);
    }

    asio::io_context& context_;
    Connector connector_;
};

inline std::string answer(const std::string& body) {
    return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

/// Answers every request on every connection with an empty object.
inline asio::awaitable<void> obliging(tls_loopback::ServerEnd& peer) {
    for (;;) {
        const auto request = co_await peer.request();
        if (request.head.empty()) co_return;
        co_await peer.say(answer("{}"));
    }
}

inline TlsOptions trusting(const Identity& authority) {
    TlsOptions options;
    options.ca_pem = authority.pem();
    return options;
}

inline const House& house = House::get();
inline TlsOptions trusting_house() { return trusting(house.authority); }

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

} // namespace tls_client
