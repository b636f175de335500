// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/text/json_text.hpp>
#include <bulkhead/test/model_elasticsearch.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/string.hpp>
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

/// A bulk request, as `BulkServer::misbehave` is asked about it.
struct BulkRequestInfo {
    std::uint64_t number = 0; ///< 1 for the server's first one
    /// Path and query.
    std::string_view target;
    /// As it came; unpacked when it came as gzip.
    std::string_view body;
    /// The header's fields, names and values, in the order in which they came.
    std::vector<std::pair<std::string_view, std::string_view>> headers{};
    /// The value of the first field of this name (upper and lower case are the same); empty when there is none.
    [[nodiscard]] std::string_view header(std::string_view name) const {
        for (const auto& [field, value] : headers)
            if (boost::beast::iequals({field.data(), field.size()}, {name.data(), name.size()})) return value;
        return {};
    }
    /// The operations in it, counted by their lines, roughly: a delete counts as half.
    [[nodiscard]] std::size_t lines() const {
        return static_cast<std::size_t>(std::count(body.begin(), body.end(), '\n'));
    }
};

/// What the server does with a bulk request instead of what is right.
struct CannedAnswer {
    /// Of the answer.
    unsigned status = 503;
    /// Of the answer.
    std::string body{};
    /// Of the body.
    std::string content_type = "application/json";
    std::string headers{};             ///< more header lines, each ending with CR LF: `"Retry-After: 5\r\n"`
    std::size_t apply_at_most = 0;     ///< apply so many of the operations first
    bool keep_model_answer = false;    ///< with `apply_at_most`: answer what the model says of these
    bool close_without_answer = false; ///< hang up instead
    bool no_answer = false;            ///< say nothing until `release()` or `stop()`
    std::string raw{};                 ///< send exactly these bytes, and hang up
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
    /// Asked for each bulk request, one at a time, on the server's thread, before it is applied. It must not call back
    /// into the server, whose lock is held. An empty function: behave.
    void misbehave(Misbehaviour how) {
        const std::lock_guard lock{mutex_};
        misbehaviour_ = std::move(how);
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
        return f(model_);
    }
    /// Looks at the model under the server's lock.
    template <class F>
    auto with_model(F&& f) const {
        const std::lock_guard lock{mutex_};
        return f(std::as_const(model_));
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
        return bulk_requests_;
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
    /// What is written back.
    struct Output {
        std::string bytes;
        bool keep_alive = true;
        bool hold = false;
        bool drain = false; ///< more of the request is coming: closing at once could cost the client the answer
        std::chrono::nanoseconds after{}; ///< the answer waits so long
        bool reset = false;               ///< instead of the answer, by RST
    };

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
                output = answer(ModelElasticsearch::whole_error("content_too_long_exception", "entity too large", 413));
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
            if ((output.hold || output.after.count() != 0) && run.acceptor.is_open()) { // after a stop nothing wakes it
                asio::steady_timer timer{run.context};
                if (output.hold) {
                    timer.expires_at(asio::steady_timer::time_point::max());
                } else {
                    timer.expires_after(output.after);
                }
                run.held.push_back(&timer);
                co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, error));
                run.held.remove(&timer);
            }
            reset = output.reset;
            if (reset) socket.set_option(asio::socket_base::linger{true, 0}, error);
            if (!output.bytes.empty())
                co_await asio::async_write(stream, asio::buffer(output.bytes),
                                           asio::redirect_error(asio::use_awaitable, error));
            keep_alive = output.keep_alive && !error;
            if (!output.drain) continue;
            socket.shutdown(Socket::shutdown_send, error);
            std::string unread(std::size_t{64} << 10, '\0');
            while (!error)
                co_await socket.async_read_some(asio::buffer(unread), asio::redirect_error(asio::use_awaitable, error));
        }
        if (!error && !reset) Layer::closing(stream);
        socket.close(error);
        run.streams.erase(at);
    }

    /// Makes the body what it says in plain. What is to be answered where that cannot be.
    template <class Request>
    std::optional<Output> unpack(Request& request) const {
        const auto refused = [](const char* why, unsigned status) {
            return answer(ModelElasticsearch::whole_error("illegal_argument_exception", why, status));
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
        const std::string_view target{request.target().data(), request.target().size()};
        const std::string_view method{request.method_string().data(), request.method_string().size()};
        const auto path = target.substr(0, target.find('?'));
        if (!options_.authorization.empty() &&
            request[boost::beast::http::field::authorization] != options_.authorization)
            return answer(ModelElasticsearch::whole_error("security_exception", "missing or wrong credentials", 401),
                          "application/json", "WWW-Authenticate: ApiKey\r\n");
        std::vector<std::string> parts;
        for (std::size_t from = 1; from < path.size();) {
            const auto to = std::min(path.find('/', from), path.size());
            parts.push_back(decoded(path.substr(from, to - from)));
            from = to + 1;
        }
        const bool get = method == "GET" || method == "POST";
        const bool post = method == "POST" || method == "PUT";
        const auto size = parts.size();
        if (size == 0 && (method == "GET" || method == "HEAD"))
            return answer({200, R"({"name":"bulk-server","version":{"number":"8.0.0-model"}})"});
        const std::lock_guard lock{mutex_};
        if (post && size >= 1 && size <= 2 && parts.back() == "_bulk")
            return bulk(target, request, size == 2 ? parts[0] : std::string{});
        if (method == "PUT" && size == 2 && parts[0] == "_index_template")
            return answer(model_.put_index_template(parts[1], request.body()));
        if (get && size == 2 && parts[1] == "_count") {
            if (!model_.exists(parts[0])) return no_such_index(parts[0]);
            return answer({200, "{\"count\":" + std::to_string(model_.count(parts[0])) +
                                    R"(,"_shards":{"total":1,"successful":1,"skipped":0,"failed":0}})"});
        }
        if (get && size == 2 && parts[1] == "_search") return search(parts[0]);
        if (get && size == 2 && parts[1] == "_refresh") {
            if (!model_.exists(parts[0])) return no_such_index(parts[0]);
            return answer({200, R"({"_shards":{"total":1,"successful":1,"failed":0}})"});
        }
        if (method == "GET" && size == 3 && parts[1] == "_doc") return document(parts[0], parts[2]);
        if (method == "GET" && size == 2 && parts[0] == "_cat" && parts[1] == "indices")
            return answer({200, indices(query_parameter(target, "v").has_value())}, "text/plain; charset=UTF-8");
        if (method == "DELETE" && size == 1) {
            if (!model_.remove_index(parts[0])) return no_such_index(parts[0]);
            return answer({200, R"({"acknowledged":true})"});
        }
        return answer(ModelElasticsearch::whole_error("illegal_argument_exception",
                                                      "no handler found for uri [" + std::string{path} + "]"));
    }
    template <class Request>
    Output bulk(std::string_view target, const Request& request, std::string index) {
        const std::string& body = request.body();
        BulkParameters parameters{.index = std::move(index),
                                  .pipeline = query_parameter(target, "pipeline").value_or(""),
                                  .filter_path = query_parameter(target, "filter_path").value_or("")};
        ++bulk_requests_;
        std::optional<CannedAnswer> canned;
        if (misbehaviour_) {
            BulkRequestInfo info{bulk_requests_, target, body};
            for (const auto& field : request) {
                const auto name = field.name_string();
                info.headers.emplace_back(std::string_view{name.data(), name.size()},
                                          std::string_view{field.value().data(), field.value().size()});
            }
            canned = misbehaviour_(info);
        }
        if (!canned) return answer(model_.bulk(body, parameters));
        ServerAnswer from_model;
        parameters.most_operations = canned->apply_at_most;
        if (canned->apply_at_most != 0) from_model = model_.bulk(body, parameters);
        if (canned->no_answer) return {{}, false, true};
        if (canned->close_without_answer) return {{}, false, false};
        if (!canned->raw.empty()) return {std::move(canned->raw), false, false};
        if (canned->keep_model_answer) return answer(from_model);
        return answer({canned->status, std::move(canned->body)}, canned->content_type, canned->headers);
    }
    Output search(const std::string& index) const {
        if (!model_.exists(index)) return no_such_index(index);
        std::string hits;
        std::size_t shown = 0;
        model_.for_each(index, [&](std::string_view id, std::string_view source) {
            if (++shown > 10) return;
            hits.append(shown == 1 ? "" : ",").append(R"({"_index":)");
            append_json_string(hits, index);
            hits.append(R"(,"_id":)");
            append_json_string(hits, id);
            hits.append(R"(,"_source":)").append(source).append("}");
        });
        return answer({200, R"({"timed_out":false,"hits":{"total":{"value":)" + std::to_string(model_.count(index)) +
                                R"(,"relation":"eq"},"hits":[)" + hits + "]}}"});
    }
    Output document(const std::string& index, const std::string& id) const {
        const auto source = model_.source(index, id);
        std::string body = R"({"_index":)";
        append_json_string(body, index);
        body.append(R"(,"_id":)");
        append_json_string(body, id);
        body.append(source ? R"(,"found":true,"_source":)" + *source + "}" : R"(,"found":false})");
        return answer({source ? 200U : 404U, std::move(body)});
    }
    /// As `_cat/indices` has it, without the columns that a model has no values for.
    std::string indices(bool with_head) const {
        std::string text = with_head ? "health status index docs.count\n" : "";
        for (const auto& name : model_.indices())
            text.append("green open ").append(name).append(" ").append(std::to_string(model_.count(name))).append("\n");
        return text;
    }
    static Output no_such_index(const std::string& index) {
        return answer(
            ModelElasticsearch::whole_error("index_not_found_exception", "no such index [" + index + "]", 404));
    }
    static Output answer(const ServerAnswer& what, std::string_view content_type = "application/json",
                         std::string_view headers = {}) {
        Output output;
        output.after = what.took;
        output.reset = what.reset;
        if (what.reset) {
            output.keep_alive = false;
            return output;
        }
        output.bytes.reserve(what.body.size() + 256);
        output.bytes.append("HTTP/1.1 ").append(std::to_string(what.status)).append(" -\r\nContent-Type: ");
        output.bytes.append(content_type).append("\r\nContent-Length: ").append(std::to_string(what.body.size()));
        output.bytes.append("\r\n").append(headers).append("\r\n").append(what.body);
        return output;
    }
    /// Nothing when it is not there; empty when it has no value.
    static std::optional<std::string> query_parameter(std::string_view target, std::string_view name) {
        target.remove_prefix(std::min(target.find('?'), target.size()));
        while (!target.empty()) {
            target.remove_prefix(1); // the '?' or '&'
            const auto pair = target.substr(0, target.find('&'));
            target.remove_prefix(pair.size());
            const auto equals = std::min(pair.find('='), pair.size());
            if (pair.substr(0, equals) == name) return decoded(pair.substr(std::min(equals + 1, pair.size())));
        }
        return std::nullopt;
    }
    static std::string decoded(std::string_view text) {
        std::string out;
        const auto hex = [](char c) {
            return c >= '0' && c <= '9'   ? c - '0'
                   : c >= 'A' && c <= 'F' ? c - 'A' + 10
                   : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                          : -1;
        };
        for (std::size_t i = 0; i < text.size(); ++i) {
            if (text[i] == '%' && i + 2 < text.size() && hex(text[i + 1]) >= 0 && hex(text[i + 2]) >= 0) {
                out += static_cast<char>(hex(text[i + 1]) * 16 + hex(text[i + 2]));
                i += 2;
            } else {
                out += text[i];
            }
        }
        return out;
    }

    const BulkServerOptions options_;
    Layer layer_;
    std::uint16_t port_;
    mutable std::mutex mutex_;
    ModelElasticsearch model_;
    Misbehaviour misbehaviour_;
    std::uint64_t bulk_requests_ = 0;
    std::unique_ptr<Run> run_;
};

/// Over plain HTTP.
using BulkServer = BasicBulkServer<PlainLayer>;

} // namespace bulkhead::inline v1::test
