// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/test/detail/bulk_endpoints.hpp>
#include <bulkhead/test/model_elasticsearch.hpp>
#include <bulkhead/test/server_answer.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>

#include <algorithm>
#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace bulkhead::inline v1::test {

namespace asio = boost::asio;

/// How a `BulkServer` listens.
struct BulkServerOptions {
    std::uint16_t port = 0;                              ///< on 127.0.0.1; 0: any that is free
    std::size_t max_body_bytes = std::size_t{100} << 20; ///< a larger request is answered 413, as the servers do
    /// The `Authorization` field that every request must carry, e.g. `ApiKey a2V5` or `Basic dXNlcjpwYXNz`: a request
    /// with another one, or without, is answered 401. Empty: nothing is asked for.
    std::string authorization{};
    /// Unpacks a body that comes with `Content-Encoding: gzip`: `test::gunzip` of `<bulkhead/test/gunzip.hpp>`, which
    /// needs `bulkhead::gzip`. Nothing, or more than the second argument of bytes: answered 400. Null: such a body is
    /// answered 415.
    std::optional<std::string> (*gunzip)(std::string_view body, std::size_t most) = nullptr;
};

/// What a `BasicBulkServer` speaks on a connection: HTTP over TCP. `TlsLayer` of `<bulkhead/test/tls_bulk_server.hpp>`
/// is the other one.
struct PlainLayer {
    /// What is read from and written to.
    using Stream = asio::ip::tcp::socket;
    /// Of the server's URL.
    static constexpr std::string_view scheme = "http";
    /// A stream over a connection.
    [[nodiscard]] static Stream make_stream(asio::ip::tcp::socket socket) { return socket; }
    /// The connection below a stream.
    [[nodiscard]] static asio::ip::tcp::socket& socket(Stream& stream) noexcept { return stream; }
    /// What comes before the first request.
    [[nodiscard]] static asio::awaitable<boost::system::error_code> handshake(Stream& /*stream*/) {
        co_return boost::system::error_code{};
    }
    /// What comes before the connection is closed.
    static void closing(Stream& /*stream*/) noexcept {}
};

/// An in-process HTTP/1.1 server with a `_bulk` endpoint that really parses, stores and counts (`ModelElasticsearch`),
/// and that misbehaves on request: to test a service that embeds the library. Loopback only, one thread of its own.
/// `BulkServer` speaks plain HTTP, `TlsBulkServer` (`<bulkhead/test/tls_bulk_server.hpp>`) HTTPS.
///
/// Endpoints: `POST|PUT [/{index}]/_bulk`, `GET|POST /{index}/_count`, `GET|POST /{index}/_search` (whatever is asked
/// for: ten documents at most), `POST /{index}/_refresh`, `GET /{index}/_doc/{id}`, `DELETE /{index}`,
/// `GET /_cat/indices` (`?v`: with a header), `PUT /_index_template/{name}`, `GET|HEAD /`. All functions are
/// thread-safe, but `start` and `stop` must not be called at the same time.
template <class Layer>
class BasicBulkServer {
public:
    /// What to do with a request instead; nothing: what is right.
    using Misbehaviour = std::function<std::optional<CannedAnswer>(const BulkRequestInfo&)>;

    /// Starts. Throws `std::runtime_error`, which names the port, when it cannot listen.
    explicit BasicBulkServer(BulkServerOptions options = {}, Layer layer = Layer{})
        : options_{std::move(options)}, layer_{std::move(layer)}, port_{options_.port} {
        start();
    }
    BasicBulkServer(const BasicBulkServer&) = delete;
    BasicBulkServer& operator=(const BasicBulkServer&) = delete;
    ~BasicBulkServer() { stop(); }

    /// On 127.0.0.1.
    [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
    /// For `HttpOptions::url`.
    [[nodiscard]] std::string url() const {
        return std::string{Layer::scheme} + "://127.0.0.1:" + std::to_string(port_);
    }
    /// What it speaks; of a `TlsBulkServer`: with its certificate.
    [[nodiscard]] const Layer& layer() const noexcept { return layer_; }

    /// Comes (back) on the same port; the store is as it was.
    void start() {
        if (run_) return;
        auto run = std::make_unique<Run>();
        const asio::ip::tcp::endpoint endpoint{asio::ip::address_v4::loopback(), port_};
        boost::system::error_code error;
        const auto check = [&] {
            if (error)
                throw std::runtime_error{"cannot listen on 127.0.0.1:" + std::to_string(port_) + ": " +
                                         error.message()};
        };
        run->acceptor.open(endpoint.protocol(), error);
        check();
        run->acceptor.set_option(asio::socket_base::reuse_address{true}, error);
        check();
        run->acceptor.bind(endpoint, error);
        check();
        run->acceptor.listen(asio::socket_base::max_listen_connections, error);
        check();
        port_ = run->acceptor.local_endpoint().port();
        asio::co_spawn(run->context, accept(*run), asio::detached);
        run->thread = std::thread{[&context = run->context] { context.run(); }};
        run_ = std::move(run);
    }
    /// Goes away: the port is closed, and every connection with it, whatever it is doing.
    void stop() {
        if (!run_) return;
        asio::post(run_->context, [this] {
            boost::system::error_code ignored;
            run_->acceptor.close(ignored);
            for (auto& stream : run_->streams) Layer::socket(stream).close(ignored);
            for (auto* const timer : run_->held) timer->cancel();
        });
        run_->thread.join();
        run_.reset();
    }
    /// Calls `how` for each bulk request, one at a time, on the server's thread, before it is applied. It must not call
    /// back into the server, whose lock is held. An empty function: behave.
    void misbehave(Misbehaviour how) {
        const std::lock_guard lock{mutex_};
        endpoints_.misbehave = std::move(how);
    }
    /// Requests that were held (`no_answer`) are hung up on; answers that are delayed (`ServerTroubles`) come at once.
    void release() {
        if (!run_) return;
        asio::post(run_->context, [this] {
            for (auto* const timer : run_->held) timer->cancel();
        });
    }

    /// Calls `f(model)` under the server's lock and returns what it returns. `model.troubles` makes the server fail by
    /// size, by time or by item.
    template <class F>
    auto with_model(F&& f) {
        const std::lock_guard lock{mutex_};
        return f(endpoints_.model);
    }
    /// Looks at the model under the server's lock.
    template <class F>
    auto with_model(F&& f) const {
        const std::lock_guard lock{mutex_};
        return f(std::as_const(endpoints_.model));
    }
    /// Documents in the index; 0 when there is no such index.
    [[nodiscard]] std::size_t count(std::string_view index) const {
        return with_model([&](const ModelElasticsearch& model) { return model.count(index); });
    }
    /// The document's bytes; nothing when it is not there.
    [[nodiscard]] std::optional<std::string> source(std::string_view index, std::string_view id) const {
        return with_model([&](const ModelElasticsearch& model) { return model.source(index, id); });
    }
    /// See `ModelElasticsearch::times_applied`: finds out what was applied twice.
    [[nodiscard]] std::uint64_t times_applied(std::string_view index, std::string_view id) const {
        return with_model([&](const ModelElasticsearch& model) { return model.times_applied(index, id); });
    }
    /// Calls `f(std::string_view id, std::string_view source)` for each document, under the server's lock.
    template <class F>
    void for_each(std::string_view index, F&& f) const {
        with_model([&](const ModelElasticsearch& model) { model.for_each(index, f); });
    }
    /// Bulk requests that were received so far, whatever became of them.
    [[nodiscard]] std::uint64_t bulk_requests() const {
        const std::lock_guard lock{mutex_};
        return endpoints_.bulk_requests;
    }

private:
    using Socket = asio::ip::tcp::socket;
    using Stream = typename Layer::Stream;
    struct Run {
        asio::io_context context{1};
        asio::ip::tcp::acceptor acceptor{context};
        std::list<Stream> streams;
        std::list<asio::steady_timer*> held;
        std::thread thread;
    };
    using Output = detail::HttpOutput;

    asio::awaitable<void> accept(Run& run) {
        boost::system::error_code error;
        while (run.acceptor.is_open()) {
            Socket socket{run.context};
            co_await run.acceptor.async_accept(socket, asio::redirect_error(asio::use_awaitable, error));
            if (error || !run.acceptor.is_open()) continue; // stopped while this connection was coming in
            socket.set_option(asio::ip::tcp::no_delay{true}, error);
            run.streams.push_back(layer_.make_stream(std::move(socket)));
            asio::co_spawn(run.context, serve(run, std::prev(run.streams.end())), asio::detached);
        }
    }
    asio::awaitable<void> serve(Run& run, typename std::list<Stream>::iterator at) {
        namespace http = boost::beast::http;
        auto& stream = *at;
        auto& socket = Layer::socket(stream);
        boost::beast::flat_buffer buffer;
        boost::system::error_code error = co_await layer_.handshake(stream);
        bool reset = false;
        for (bool keep_alive = !error; keep_alive;) {
            http::request_parser<http::string_body> parser;
            parser.body_limit(options_.max_body_bytes);
            co_await http::async_read(stream, buffer, parser, asio::redirect_error(asio::use_awaitable, error));
            Output output;
            if (error == http::error::body_limit) {
                output = detail::answer(
                    ModelElasticsearch::whole_error("content_too_long_exception", "entity too large", 413));
                output.keep_alive = false;
                output.drain = true;
            } else if (error) {
                break;
            } else if (auto refusal = unpack(parser.get())) {
                output = std::move(*refusal);
            } else {
                output = handle(parser.get());
                output.keep_alive = output.keep_alive && parser.get().keep_alive();
                if (parser.get().method() == http::verb::head) output.bytes.resize(output.bytes.find("\r\n\r\n") + 4);
            }
            if ((output.hold || output.after.count() != 0) && run.acceptor.is_open()) // after a stop nothing wakes it
                error = co_await hold(run, output.hold, output.after);
            reset = output.reset;
            if (reset) socket.set_option(asio::socket_base::linger{true, 0}, error);
            if (!output.bytes.empty())
                co_await asio::async_write(stream, asio::buffer(output.bytes),
                                           asio::redirect_error(asio::use_awaitable, error));
            keep_alive = output.keep_alive && !error;
            if (output.drain) error = co_await drain(socket);
        }
        if (!error && !reset) Layer::closing(stream);
        socket.close(error);
        run.streams.erase(at);
    }

    /// Waits before an answer, `forever` or for some time, but no longer than until `release()` or `stop()`.
    asio::awaitable<boost::system::error_code> hold(Run& run, bool forever, std::chrono::nanoseconds time) {
        asio::steady_timer timer{run.context};
        if (forever) {
            timer.expires_at(asio::steady_timer::time_point::max());
        } else {
            timer.expires_after(time);
        }
        run.held.push_back(&timer);
        boost::system::error_code error;
        co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, error));
        run.held.remove(&timer);
        co_return error;
    }
    /// Reads what the client still sends, so that closing does not cost it the answer.
    static asio::awaitable<boost::system::error_code> drain(Socket& socket) {
        boost::system::error_code error;
        socket.shutdown(Socket::shutdown_send, error);
        std::string unread(std::size_t{64} << 10, '\0');
        while (!error)
            co_await socket.async_read_some(asio::buffer(unread), asio::redirect_error(asio::use_awaitable, error));
        co_return error;
    }
    /// Unpacks the body. Returns the answer where that cannot be done.
    template <class Request>
    std::optional<Output> unpack(Request& request) const {
        const auto refused = [](const char* why, unsigned status) {
            return detail::answer(ModelElasticsearch::whole_error("illegal_argument_exception", why, status));
        };
        const auto coding = request[boost::beast::http::field::content_encoding];
        if (coding.empty() || coding == "identity") return std::nullopt;
        if (coding != "gzip") return refused("a Content-Encoding other than gzip", 415);
        if (options_.gunzip == nullptr) return refused("BulkServerOptions::gunzip is null", 415);
        auto plain = options_.gunzip(request.body(), options_.max_body_bytes);
        if (!plain) return refused("the body is no gzip, or too large when unpacked", 400);
        request.body() = std::move(*plain);
        return std::nullopt;
    }
    template <class Request>
    Output handle(const Request& request) {
        if (auto output = endpoints_.answer_without_store(request, options_.authorization)) return std::move(*output);
        const std::lock_guard lock{mutex_};
        return endpoints_(request);
    }

    const BulkServerOptions options_;
    Layer layer_;
    std::uint16_t port_;
    mutable std::mutex mutex_;
    detail::BulkEndpoints endpoints_;
    std::unique_ptr<Run> run_;
};

/// Over plain HTTP.
using BulkServer = BasicBulkServer<PlainLayer>;

} // namespace bulkhead::inline v1::test
