// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/test/bulk_server.hpp>

#include <boost/asio/connect.hpp>
#include <boost/asio/read.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/write.hpp>
#include <boost/json/parse.hpp>

#include <atomic>
#include <future>
#include <optional>
#include <string>
#include <thread>
#include <vector>

using namespace bulkhead::test;
namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;

namespace {

struct Answer {
    unsigned status = 0; ///< 0: hung up
    std::string body;
    std::string retry_after;
};

/// One keep-alive connection, used synchronously; shares nothing with the library's transport.
class PlainClient {
public:
    explicit PlainClient(const BulkServer& server) {
        socket_.connect({asio::ip::address_v4::loopback(), server.port()}, connected);
    }
    Answer ask(http::verb method, const std::string& target, std::string body = {}, bool chunked = false) {
        http::request<http::string_body> request{method, target, 11, std::move(body)};
        request.set(http::field::host, "127.0.0.1");
        if (chunked)
            request.chunked(true);
        else
            request.prepare_payload();
        error_code error;
        http::write(socket_, request, error);
        return read(method == http::verb::head);
    }
    Answer bulk(std::string body, const std::string& target = "/logs/_bulk") {
        return ask(http::verb::post, target, std::move(body));
    }
    void send(const std::string& bytes) {
        error_code error;
        asio::write(socket_, asio::buffer(bytes), error);
    }
    Answer read(bool head = false) {
        http::response_parser<http::string_body> parser;
        parser.skip(head);
        error_code error;
        http::read(socket_, buffer_, parser, error);
        if (error) return {};
        return {parser.get().result_int(), parser.get().body(), std::string{parser.get()[http::field::retry_after]}};
    }
    /// All bytes until the server hangs up.
    std::string rest() {
        std::string bytes;
        error_code error;
        asio::read(socket_, asio::dynamic_buffer(bytes), error);
        return bytes;
    }
    error_code connected;

private:
    asio::io_context context_;
    asio::ip::tcp::socket socket_{context_};
    boost::beast::flat_buffer buffer_;
};

std::string create(const std::string& id) { return "{\"create\":{\"_id\":\"" + id + "\"}}\n{\"id\":\"" + id + "\"}\n"; }

} // namespace

TEST_CASE("server: its endpoints, over one connection") {
    BulkServer server;
    CHECK(server.url() == "http://127.0.0.1:" + std::to_string(server.port()));
    PlainClient client{server};
    CHECK(client.ask(http::verb::get, "/").status == 200);
    const auto head = client.ask(http::verb::head, "/");
    CHECK(head.status == 200);
    CHECK(head.body.empty());
    CHECK(client.ask(http::verb::get, "/logs/_count").status == 404);
    CHECK(client.bulk(create("1") + create("2")).status == 200);
    CHECK(client.bulk("{\"index\":{\"_index\":\"other\"}}\n{}\n", "/_bulk").status == 200);
    CHECK(client.ask(http::verb::put, "/logs/_bulk", create("3")).status == 200);
    const auto counted = client.ask(http::verb::get, "/logs/_count");
    CHECK(counted.status == 200);
    CHECK(boost::json::parse(counted.body).at("count") == 3);
    CHECK(client.ask(http::verb::post, "/logs/_refresh").status == 200);
    CHECK(client.ask(http::verb::post, "/nothing/_refresh").status == 404);
    CHECK(client.ask(http::verb::get, "/logs/_doc/2").body.find("\"_source\":{\"id\":\"2\"}") != std::string::npos);
    CHECK(client.ask(http::verb::get, "/logs/_doc/4").status == 404);
    CHECK(client.ask(http::verb::get, "/_unknown").status == 400);
    CHECK(client.ask(http::verb::delete_, "/logs/_count").status == 400);
    CHECK(server.count("logs") == 3);
    CHECK(server.count("other") == 1);
    CHECK(server.bulk_requests() == 3);
}

TEST_CASE("server: a data stream by its template, and an index name with escapes in the path") {
    BulkServer server;
    PlainClient client{server};
    CHECK(
        client.ask(http::verb::put, "/_index_template/t", R"({"index_patterns":["logs-*"],"data_stream":{}})").status ==
        200);
    CHECK(client.bulk("{\"index\":{}}\n{}\n", "/logs-x/_bulk").body.find("op_type of create") != std::string::npos);
    CHECK(client.bulk("{\"create\":{\"_id\":\"1\"}}\n{\"@timestamp\":1}\n", "/logs%2Dx/_bulk").status == 200);
    CHECK(server.count("logs-x") == 1);
}

TEST_CASE("server: a body in a coding that it does not read is answered 415, and applied by nobody") {
    const BulkServer server;
    PlainClient client{server};
    for (const std::string coding : {"gzip", "br"}) {
        CAPTURE(coding);
        client.send("POST /logs/_bulk HTTP/1.1\r\nHost: x\r\nContent-Encoding: " + coding +
                    "\r\nContent-Length: 2\r\n\r\n{}");
        const auto answer = client.read();
        CHECK(answer.status == 415);
        CHECK(answer.body.find(coding == "gzip" ? "BulkServerOptions::gunzip is null" : "other than gzip") !=
              std::string::npos);
    }
    CHECK(server.bulk_requests() == 0);
    CHECK(client.bulk(create("1")).status == 200); // on the same connection
}

TEST_CASE("server: the query's filter_path and pipeline count") {
    BulkServer server;
    PlainClient client{server};
    CHECK(client.bulk(create("1"), "/logs/_bulk?filter_path=errors,items.*.status").body ==
          R"({"errors":false,"items":[{"create":{"status":201}}]})");
    CHECK(client.bulk(create("2"), "/logs/_bulk?timeout=1m&filter_path=items.%2A.status&pipeline=none").body ==
          R"({"items":[{"create":{"status":400}}]})");
}

TEST_CASE("server: chunked bodies, and requests sent ahead, are answered in order") {
    BulkServer server;
    PlainClient client{server};
    CHECK(client.ask(http::verb::post, "/logs/_bulk", create("1"), true).status == 200);
    const std::string count = "GET /logs/_count HTTP/1.1\r\nHost: x\r\n\r\n";
    client.send(count + "GET /none/_count HTTP/1.1\r\nHost: x\r\n\r\n" + count);
    CHECK(client.read().status == 200);
    CHECK(client.read().status == 404);
    CHECK(client.read().status == 200);
    CHECK(server.count("logs") == 1);
}

TEST_CASE("server: a body above the limit is answered 413 although it has not been read", "[F032]") {
    BulkServer server{{.max_body_bytes = 1000}};
    {
        PlainClient client{server};
        CHECK(client.bulk("{\"index\":{}}\n{\"x\":\"" + std::string(4'000'000, 'x') + "\"}\n").status == 413);
        CHECK(client.bulk(create("1")).status == 0); // and hangs up
    }
    {
        PlainClient client{server};
        CHECK(client.ask(http::verb::post, "/logs/_bulk", std::string(5000, 'x'), true).status == 413);
    }
    PlainClient client{server};
    CHECK(client.bulk(std::string(1001, '\n')).status == 413);
    PlainClient other{server}; // exactly at the limit
    auto fits = create("1");
    fits.insert(fits.size() - 2, std::string(1000 - fits.size(), ' '));
    CHECK(other.bulk(fits).status == 200);
    CHECK(server.count("logs") == 1);
}

TEST_CASE("server: canned answers") {
    BulkServer server;
    const auto always = [&server](std::optional<CannedAnswer> answer) {
        server.misbehave([answer = std::move(answer)](const BulkRequestInfo&) { return answer; });
    };
    const auto body = create("1") + create("2");
    SECTION("none: as it should be; it is asked about each request") {
        struct Seen {
            std::uint64_t number;
            std::string target, body;
            std::size_t lines;
        };
        std::vector<Seen> seen;
        server.misbehave([&seen](const BulkRequestInfo& request) -> std::optional<CannedAnswer> {
            seen.push_back({request.number, std::string{request.target}, std::string{request.body}, request.lines()});
            return std::nullopt;
        });
        PlainClient client{server};
        CHECK(client.bulk(body).status == 200);
        CHECK(client.bulk(create("3"), "/logs/_bulk?timeout=1m").status == 200);
        server.misbehave({});
        CHECK(server.count("logs") == 3);
        REQUIRE(seen.size() == 2);
        CHECK(seen[0].number == 1);
        CHECK(seen[0].body == body);
        CHECK(seen[0].lines == 4);
        CHECK(seen[1].number == 2);
        CHECK(seen[1].target == "/logs/_bulk?timeout=1m");
    }
    SECTION("a status with a body and a header; nothing is applied, the connection stays") {
        always(
            CannedAnswer{.status = 429, .body = "busy", .content_type = "text/plain", .headers = "Retry-After: 5\r\n"});
        PlainClient client{server};
        for (int i = 0; i < 2; ++i) {
            const auto answer = client.bulk(body);
            CHECK(answer.status == 429);
            CHECK(answer.body == "busy");
            CHECK(answer.retry_after == "5");
        }
        CHECK_FALSE(server.with_model([](const ModelElasticsearch& model) { return model.exists("logs"); }));
        server.misbehave({});
        CHECK(client.bulk(body).status == 200);
    }
    SECTION("a part is applied, then an error") {
        always(CannedAnswer{.status = 503, .apply_at_most = 1});
        CHECK(PlainClient{server}.bulk(body).status == 503);
        CHECK(server.count("logs") == 1);
        CHECK(server.source("logs", "1") == "{\"id\":\"1\"}");
    }
    SECTION("a part is applied, and answered") {
        always(CannedAnswer{.apply_at_most = 1, .keep_model_answer = true});
        const auto answer = PlainClient{server}.bulk(body);
        CHECK(boost::json::parse(answer.body).at("items").as_array().size() == 1);
    }
    SECTION("everything is applied, then it hangs up; a repetition is found out") {
        always(CannedAnswer{.apply_at_most = 2, .close_without_answer = true});
        CHECK(PlainClient{server}.bulk(body).status == 0);
        CHECK(server.count("logs") == 2);
        CHECK(server.times_applied("logs", "1") == 1);
        always(std::nullopt);
        CHECK(PlainClient{server}.bulk("{\"index\":{\"_id\":\"1\"}}\n{}\n{\"index\":{\"_id\":\"3\"}}\n{}\n").status ==
              200);
        CHECK(server.times_applied("logs", "1") == 2);
    }
    SECTION("raw bytes, then it hangs up") {
        const std::string raw = "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{";
        always(CannedAnswer{.raw = raw});
        PlainClient client{server};
        client.send("POST /logs/_bulk HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(body.size()) +
                    "\r\n\r\n" + body);
        CHECK(client.rest() == raw);
    }
    SECTION("held, until released") {
        std::promise<void> asked;
        server.misbehave([&](const BulkRequestInfo&) {
            asked.set_value();
            return CannedAnswer{.no_answer = true};
        });
        PlainClient client{server};
        auto answer = std::async(std::launch::async, [&] { return client.bulk(body); });
        asked.get_future().wait();
        CHECK(PlainClient{server}.ask(http::verb::get, "/").status == 200); // others are served meanwhile
        // The answer is held from the end of the request's handling on, on the server's thread: so is the release.
        server.release();
        CHECK(answer.get().status == 0);
        CHECK(server.count("logs") == 0);
    }
}

TEST_CASE("server: what one types first is answered: the indices, a document, and that an index is deleted", "[F293]") {
    BulkServer server;
    PlainClient client{server};
    CHECK(client.ask(http::verb::get, "/_cat/indices").body.empty());
    CHECK(client.bulk(create("1") + create("a b")).status == 200);
    CHECK(client.bulk(create("1"), "/other/_bulk").status == 200);
    CHECK(client.ask(http::verb::get, "/_cat/indices").body == "green open logs 2\ngreen open other 1\n");
    CHECK(client.ask(http::verb::get, "/_cat/indices?v").body ==
          "health status index docs.count\ngreen open logs 2\ngreen open other 1\n");
    CHECK(client.ask(http::verb::get, "/logs/_doc/a%20b").body ==
          R"({"_index":"logs","_id":"a b","found":true,"_source":{"id":"a b"}})");
    const auto missing = client.ask(http::verb::get, "/logs/_doc/9");
    CHECK(missing.status == 404);
    CHECK(missing.body == R"({"_index":"logs","_id":"9","found":false})");
    CHECK(client.ask(http::verb::delete_, "/logs").body == R"({"acknowledged":true})");
    CHECK(client.ask(http::verb::delete_, "/logs").status == 404);
    CHECK(server.count("logs") == 0);
    CHECK(server.count("other") == 1);
    CHECK(client.bulk(create("1")).status == 200); // and it may come again
    CHECK(server.count("logs") == 1);
}

TEST_CASE("server: every request must carry the credentials that it asks for", "[F293]") {
    BulkServer server{{.authorization = "Basic dXNlcjpwYXNz"}};
    bool asked = false;
    server.misbehave([&](const BulkRequestInfo& request) -> std::optional<CannedAnswer> {
        asked = request.header("authorization") == "Basic dXNlcjpwYXNz" && request.header("host") == "127.0.0.1" &&
                request.header("x-none").empty() && request.headers.size() == 3;
        return std::nullopt;
    });
    PlainClient client{server};
    CHECK(client.ask(http::verb::get, "/").status == 401);
    CHECK(client.ask(http::verb::head, "/").status == 401);
    const auto refused = client.bulk(create("1"));
    CHECK(refused.status == 401);
    CHECK(refused.body.find("security_exception") != std::string::npos);
    CHECK(refused.body.find("dXNlcjpwYXNz") == std::string::npos);
    client.send("POST /logs/_bulk HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Basic dXNlcjpwYXNz\r\n"
                "Content-Length: " +
                std::to_string(create("1").size()) + "\r\n\r\n" + create("1"));
    CHECK(client.read().status == 200);
    CHECK(server.count("logs") == 1); // under the lock that guards what the other thread wrote
    CHECK(asked);
    client.send("GET /logs/_count HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Basic dXNlcjpwYXNzMg==\r\n\r\n");
    CHECK(client.read().status == 401);
    CHECK(server.count("logs") == 1);
    CHECK(server.bulk_requests() == 1);
}

TEST_CASE("server: the model's troubles reach the wire") {
    BulkServer server;
    const auto troubles = [&](auto change) {
        server.with_model([&](ModelElasticsearch& model) { change(model.troubles); });
    };
    troubles([](ServerTroubles& all) { all.most_operations = 1; });
    PlainClient client{server};
    CHECK(client.bulk(create("1") + create("2")).status == 429);
    CHECK(client.bulk(create("1")).status == 200);
    SECTION("a reset") {
        troubles([](ServerTroubles& all) { all.over_limit = {WholeFailure::Kind::reset, true}; });
        CHECK(client.bulk(create("2") + create("3")).status == 0);
        CHECK(server.count("logs") == 3);
        CHECK(PlainClient{server}.bulk(create("4")).status == 200);
    }
    SECTION("an answer that takes an hour comes when it is released, and what it proves was applied before") {
        troubles([](ServerTroubles& all) { all.time_per_operation = std::chrono::hours{1}; });
        std::promise<unsigned> answered;
        std::thread slow{[&] { answered.set_value(client.bulk(create("2")).status); }};
        while (server.count("logs") != 2) std::this_thread::yield();
        auto status = answered.get_future();
        while (status.wait_for(std::chrono::milliseconds{1}) != std::future_status::ready) server.release();
        CHECK(status.get() == 200);
        slow.join();
    }
}

TEST_CASE("server: goes away and comes back on the same port with its documents", "[F064]") {
    BulkServer server;
    const auto port = server.port();
    PlainClient before{server};
    CHECK(before.bulk(create("1")).status == 200);
    server.stop();
    server.stop(); // harmless
    CHECK(before.bulk(create("2")).status == 0);
    CHECK(PlainClient{server}.connected);
    CHECK(server.count("logs") == 1);
    server.start();
    server.start(); // harmless
    CHECK(server.port() == port);
    PlainClient after{server};
    CHECK(after.bulk(create("2")).status == 200);
    CHECK(server.count("logs") == 2);
}

TEST_CASE("server: stops whatever its connections are doing") {
    for (int round = 0; round < 20; ++round) {
        BulkServer server;
        std::promise<void> asked;
        server.misbehave([&, told = false](const BulkRequestInfo&) mutable {
            if (!told) asked.set_value();
            told = true;
            return CannedAnswer{.no_answer = true};
        });
        PlainClient idle{server};
        PlainClient half{server};
        half.send("POST /logs/_bulk HTTP/1.1\r\nContent-Le");
        std::vector<std::thread> clients;
        for (int i = 0; i < 3; ++i)
            clients.emplace_back([&server] {
                PlainClient client{server};
                (void)client.bulk(create("1"));
            });
        asked.get_future().wait();
        server.stop();
        for (auto& client : clients) client.join();
        CHECK(idle.rest().empty());
    }
}

TEST_CASE("server: a port in use is named") {
    BulkServer first;
    try {
        BulkServer second{{.port = first.port()}};
        FAIL("two servers on one port");
    } catch (const std::runtime_error& error) {
        CHECK(std::string{error.what()}.find("127.0.0.1:" + std::to_string(first.port())) != std::string::npos);
    }
}

TEST_CASE("server: many connections at once, watched meanwhile", "[F102]") {
    BulkServer server;
    std::vector<std::thread> clients;
    std::atomic<int> running{4};
    for (int c = 0; c < 4; ++c)
        clients.emplace_back([&server, &running, c] {
            PlainClient client{server};
            for (int i = 0; i < 50; ++i) (void)client.bulk(create(std::to_string(c) + "-" + std::to_string(i)));
            --running;
        });
    std::size_t last = 0;
    bool fell = false;
    while (running != 0) {
        const auto now = server.count("logs");
        fell |= now < last;
        last = now;
        std::this_thread::yield();
    }
    for (auto& client : clients) client.join();
    CHECK_FALSE(fell);
    std::size_t seen = 0;
    server.for_each("logs", [&](std::string_view id, std::string_view source) {
        seen += source == "{\"id\":\"" + std::string{id} + "\"}" ? 1U : 0U;
    });
    CHECK(seen == 200);
    CHECK(server.bulk_requests() == 200);
}
