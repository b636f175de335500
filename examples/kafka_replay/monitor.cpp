// SPDX-License-Identifier: BSL-1.0
#include "monitor.hpp"

#include "failure.hpp"
#include "monitor_page.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>

#include <charconv>
#include <thread>

namespace replay {

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using tcp = asio::ip::tcp;

/// A consuming thread that has not come round for so long hangs. What it may rightly wait for is shorter: a revoke
/// drain, a question to the brokers.
constexpr std::chrono::seconds hung_after{60};
/// For one request and its answer, and between two of a connection.
constexpr std::chrono::seconds patience{30};
constexpr std::size_t most_connections = 64;

Page probed(const Probe& probe) { return {.status = probe.good ? 200U : 503U, .body = probe.words + '\n'}; }

tcp::endpoint endpoint_of(const std::string& where) {
    const auto wrong = [&] { return UsageError{"--metrics: expected [ADDRESS:]PORT, found " + where}; };
    const auto colon = where.rfind(':');
    const auto digits = colon == std::string::npos ? where : where.substr(colon + 1);
    auto address = colon == std::string::npos ? std::string{"127.0.0.1"} : where.substr(0, colon);
    if (address.size() > 2 && address.front() == '[' && address.back() == ']')
        address = address.substr(1, address.size() - 2);
    std::uint16_t port = 0;
    const auto [rest, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (error != std::errc{} || rest != digits.data() + digits.size()) throw wrong();
    beast::error_code bad;
    const auto ip = asio::ip::make_address(address, bad);
    if (bad) throw wrong();
    return {ip, port};
}

} // namespace

Probe alive(Pulse::Clock::duration since_beat, bool draining) {
    if (draining || since_beat < hung_after) return {};
    return {false, "the consuming thread has stood still for " +
                       std::to_string(std::chrono::duration_cast<std::chrono::seconds>(since_beat).count()) + " s"};
}

Probe ready(const bulkhead::Stats& indexer, const bulkhead::kafka::DriverStats& driver, bool draining) {
    if (draining) return {false, "draining"};
    if (driver.rebalances == 0) return {false, "the consumer group is being joined"};
    if (!driver.troubles.empty()) {
        const auto more = driver.troubles.size() - 1;
        return {false, "Kafka: " + driver.troubles.front().text +
                           (more == 0 ? "" : "; and " + std::to_string(more) + " more")};
    }
    if (indexer.health == bulkhead::Health::ok) return {};
    auto words = "search server: " + std::string{to_string(indexer.health)};
    if (!indexer.health_detail.empty()) words += ": " + indexer.health_detail;
    return {false, std::move(words)};
}

Page page_of(std::string_view target, const Monitored& monitored) {
    target = target.substr(0, target.find('?'));
    if (target == "/metrics") return {.type = "text/plain; version=0.0.4; charset=utf-8", .body = monitored.metrics()};
    if (target == "/healthz") return probed(monitored.alive());
    if (target == "/readyz") return probed(monitored.ready());
    if (target == "/") return {.type = "text/html; charset=utf-8", .body = std::string{monitor_page}};
    return {.status = 404, .body = "there are /, /metrics, /healthz and /readyz\n"};
}

struct MonitorPort::Listener {
    asio::io_context context{1};
    tcp::acceptor acceptor{context};
};

MonitorPort::MonitorPort(const std::string& where) : listener_{std::make_unique<Listener>()} {
    const auto endpoint = endpoint_of(where);
    auto& acceptor = listener_->acceptor;
    try {
        acceptor.open(endpoint.protocol());
        acceptor.set_option(tcp::acceptor::reuse_address{true});
        acceptor.bind(endpoint);
        acceptor.listen();
    } catch (const boost::system::system_error& error) {
        throw Failure{"--metrics " + where + ": " + error.code().message() +
                      (error.code() == asio::error::address_in_use ? "; choose another port, 0 for any" : "")};
    }
    const auto bound = acceptor.local_endpoint();
    const auto address = bound.address().to_string();
    url_ = "http://" + (bound.address().is_v6() ? '[' + address + ']' : address) + ':' + std::to_string(bound.port());
}
MonitorPort::~MonitorPort() = default;

struct MonitorServer::Impl {
    Impl(MonitorPort::Listener& listener, Monitored shown) : port{listener}, monitored{std::move(shown)} {}

    asio::awaitable<void> accept() {
        while (true) {
            beast::error_code error;
            auto socket = co_await port.acceptor.async_accept(asio::redirect_error(asio::use_awaitable, error));
            if (error == asio::error::operation_aborted) co_return;
            if (error) { // e.g. no descriptor is left: not in a hot loop
                asio::steady_timer pause{port.context, std::chrono::milliseconds{100}};
                co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
                continue;
            }
            if (connections < most_connections)
                asio::co_spawn(port.context, serve(beast::tcp_stream{std::move(socket)}), asio::detached);
        }
    }
    asio::awaitable<void> serve(beast::tcp_stream stream) {
        ++connections;
        try {
            beast::flat_buffer buffer;
            bool more = true;
            while (more) {
                http::request_parser<http::empty_body> request;
                stream.expires_after(patience);
                co_await http::async_read_header(stream, buffer, request, asio::use_awaitable);
                auto response = answer(request.get());
                if (!request.is_done()) response.keep_alive(false); // a body, which nobody wants to read
                more = response.keep_alive();
                co_await http::async_write(stream, response, asio::use_awaitable);
            }
        } catch (const std::exception&) { // it went away, was too slow, or did not speak HTTP
        }
        --connections;
    }
    [[nodiscard]] http::response<http::string_body> answer(const http::request<http::empty_body>& request) const {
        const bool head = request.method() == http::verb::head;
        http::response<http::string_body> response;
        response.version(request.version());
        response.keep_alive(request.keep_alive());
        response.set(http::field::cache_control, "no-store");
        response.set("Content-Security-Policy",
                     "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'");
        response.set("X-Content-Type-Options", "nosniff");
        Page page;
        if (head || request.method() == http::verb::get) {
            const auto target = request.target();
            page = page_of({target.data(), target.size()}, monitored);
        } else {
            page = {.status = 405, .body = "only GET and HEAD\n"};
            response.set(http::field::allow, "GET, HEAD");
        }
        response.result(page.status);
        response.set(http::field::content_type, page.type);
        response.content_length(page.body.size());
        if (!head) response.body() = std::move(page.body);
        return response;
    }

    MonitorPort::Listener& port;
    const Monitored monitored;
    std::size_t connections = 0;
    std::thread thread;
};

MonitorServer::MonitorServer(MonitorPort& port, Monitored monitored)
    : impl_{std::make_unique<Impl>(*port.listener_, std::move(monitored))} {
    asio::co_spawn(port.listener_->context, impl_->accept(), asio::detached);
    impl_->thread = std::thread{[&context = port.listener_->context] { context.run(); }};
}
MonitorServer::~MonitorServer() {
    impl_->port.context.stop();
    impl_->thread.join();
}

} // namespace replay
