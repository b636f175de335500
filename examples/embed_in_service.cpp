// SPDX-License-Identifier: BSL-1.0
// An HTTP service on Boost.Asio and Beast that records an event for each request. The handler enqueues and answers at
// once: however slow or broken the search cluster is, the service is not.
//
//     embed_in_service [PORT [SEARCH_URL]]        GET /stats says how indexing goes; Ctrl-C or SIGTERM drains and ends
#include <bulkhead/bulkhead.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include <charconv>
#include <chrono>
#include <iostream>
#include <string>
#include <string_view>
#include <thread>

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using Indexer = bulkhead::BulkIndexer<bulkhead::HttpTransport>;
using Request = http::request<http::string_body>;
using Response = http::response<http::string_body>;

std::string stats_text(const bulkhead::Stats& stats) {
    const boost::json::object text{
        {"accepted", stats.accepted},
        {"refused", stats.refused()},
        {"indexed", stats.indexed},
        {"rejected", stats.rejected},
        {"pending", stats.pending},
        {"in_flight", stats.in_flight},
        {"buffered_bytes", stats.buffered_bytes},
        {"health", std::string{to_string(stats.health)}},
    };
    return boost::json::serialize(text);
}

Response handle(const Request& request, Indexer& indexer) {
    Response response{http::status::ok, request.version()};
    response.set(http::field::content_type, "application/json");
    response.keep_alive(request.keep_alive());
    if (request.target() == "/stats") {
        response.body() = stats_text(indexer.stats());
    } else {
        const boost::json::object event{
            {"method", std::string{request.method_string()}},
            {"target", std::string{request.target()}},
            {"bytes", request.body().size()},
        };
        const auto source = boost::json::serialize(event);
        bulkhead::Operation operation;
        operation.source = source;
        indexer.enqueue(operation); // copies the bytes and returns; never waits, never throws
        response.body() = R"({"ok":true})";
    }
    response.prepare_payload();
    return response;
}

class Service {
public:
    Service(asio::io_context& context, std::uint16_t port, const std::string& search_url)
        : context_{context}, acceptor_{asio::make_strand(context), {asio::ip::address_v4::loopback(), port}},
          indexer_{context.get_executor(), bulkhead::HttpTransport{context.get_executor(), {.url = search_url}},
                   bulkhead::IndexerOptions{.index = "service-events"}} {
        asio::co_spawn(acceptor_.get_executor(), listen(), asio::detached);
        asio::co_spawn(acceptor_.get_executor(), shut_down(), asio::detached);
    }
    [[nodiscard]] std::uint16_t port() const { return acceptor_.local_endpoint().port(); }

private:
    asio::awaitable<void> listen() {
        while (acceptor_.is_open()) {
            auto socket = co_await acceptor_.async_accept(asio::make_strand(context_), asio::use_awaitable);
            const auto executor = socket.get_executor();
            // A connection that breaks ends its coroutine by an exception, which nobody needs to know.
            asio::co_spawn(executor, serve(std::move(socket)), asio::detached);
        }
    }

    asio::awaitable<void> serve(tcp::socket socket) {
        boost::beast::tcp_stream stream{std::move(socket)};
        boost::beast::flat_buffer buffer;
        for (bool more = true; more;) {
            Request request;
            stream.expires_after(std::chrono::seconds{30});
            co_await http::async_read(stream, buffer, request, asio::use_awaitable);
            const auto response = handle(request, indexer_);
            more = response.keep_alive();
            co_await http::async_write(stream, response, asio::use_awaitable);
        }
    }

    /// Ctrl-C or SIGTERM: take no more connections, let the indexer drain, and only then stop.
    asio::awaitable<void> shut_down() {
        asio::signal_set signals{context_, SIGINT, SIGTERM};
        co_await signals.async_wait(asio::use_awaitable);
        acceptor_.close();
        std::cerr << "draining, at most 10 s\n";
        const auto report = co_await indexer_.async_close(std::chrono::seconds{10}, asio::use_awaitable);
        std::cerr << stats_text(report.stats) << (report.drained ? "\n" : "\nnot everything could be delivered\n");
        context_.stop();
    }

    asio::io_context& context_;
    tcp::acceptor acceptor_; ///< on a strand, as are `listen` and `shut_down`
    Indexer indexer_;        ///< any thread may use it
};

int main(int argc, char** argv) {
    std::uint16_t port = 8080;
    const std::string_view wanted = argc > 1 ? argv[1] : "8080";
    const auto [end, wrong] = std::from_chars(wanted.data(), wanted.data() + wanted.size(), port);
    if (wrong != std::errc{} || end != wanted.data() + wanted.size()) {
        std::cerr << "usage: embed_in_service [PORT [SEARCH_URL]]; not a port: " << wanted << '\n';
        return 2;
    }
    try {
        asio::io_context context;
        const Service service{context, port, argc > 2 ? argv[2] : "http://127.0.0.1:9200"};
        std::cerr << "listening at http://127.0.0.1:" << service.port() << '\n';
        std::thread second{[&context] { context.run(); }}; // two threads serve; the indexer lives on them too
        context.run();
        second.join();
        return 0;
    } catch (const std::exception& e) {
        std::cerr << "embed_in_service: " << e.what() << '\n';
        return 1;
    }
}
