// SPDX-License-Identifier: BSL-1.0
// Examples that serve, as their supervisor and their callers see them.
#include "support/catch.hpp"
#include "support/child.hpp"

#include <bulkhead/bulkhead.hpp>
#include <bulkhead/test/bulk_server.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>

using namespace bulkhead;
using bulkhead_test::Child;

#if defined(BULKHEAD_EMBED_IN_SERVICE) && defined(BULKHEAD_BULK_SERVER) // paths, where the examples are built
namespace {

/// The port in a line that ends with an URL of loopback.
std::uint16_t port_in(const std::string& line) {
    const auto colon = line.rfind(':');
    REQUIRE(line.find("http://127.0.0.1:") != std::string::npos);
    return static_cast<std::uint16_t>(std::stoul(line.substr(colon + 1)));
}

/// A connection to a port of loopback that is used again and again.
class Caller {
public:
    explicit Caller(std::uint16_t port) {
        stream_.expires_after(std::chrono::seconds{30});
        stream_.connect(asio::ip::tcp::endpoint{asio::ip::address_v4::loopback(), port});
    }
    std::string get(const char* target) {
        namespace http = boost::beast::http;
        http::request<http::empty_body> request{http::verb::get, target, 11};
        request.set(http::field::host, "127.0.0.1");
        http::write(stream_, request);
        http::response<http::string_body> response;
        http::read(stream_, buffer_, response);
        return response.body();
    }

private:
    asio::io_context context_;
    boost::beast::tcp_stream stream_{context_};
    boost::beast::flat_buffer buffer_;
};

} // namespace

TEST_CASE("a service that is told to end answers first, and delivers what it has taken", "[F123]") {
    test::BulkServer server;
    server.misbehave([](const test::BulkRequestInfo& request) -> std::optional<test::CannedAnswer> {
        if (request.number > 1) return std::nullopt;
        return test::CannedAnswer{}; // 503
    });
    Child service{{BULKHEAD_EMBED_IN_SERVICE, "0", server.url()}, {}, Child::Errors::kept};
    Caller caller{port_in(service.line())};
    for (int i = 0; i < 100; ++i) CHECK(caller.get("/orders") == R"({"ok":true})");
    CHECK(caller.get("/stats").find(R"("accepted":100,"refused":0)") != std::string::npos);

    service.signal(SIGTERM);
    CHECK(service.line() == "draining, at most 10 s");
    CHECK(service.line().find(R"("indexed":100)") != std::string::npos);
    CHECK(service.wait() == 0);
    CHECK(server.count("service-events") == 100);
}

TEST_CASE("the server to try a client against stores, shows what it has, and ends when told to") {
    Child program{{BULKHEAD_BULK_SERVER, "0"}, {}, Child::Errors::kept};
    const auto port = port_in(program.line());
    CHECK(program.line().find("look: curl http://127.0.0.1:") == 0);
    StandaloneIndexer<HttpTransport> indexer{HttpOptions{.url = "http://127.0.0.1:" + std::to_string(port)},
                                             IndexerOptions{.index = "first"}};
    indexer->enqueue({.id = "a", .source = R"({"message":"hello"})"});
    CHECK(indexer.close(std::chrono::seconds{30}).stats.indexed == 1);
    CHECK(Caller{port}
              .get("/first/_search")
              .find(R"("hits":[{"_index":"first","_id":"a","_source":{"message":"hello"}}])") != std::string::npos);
    program.signal(SIGINT);
    CHECK(program.line() == "bulk requests: 1");
    CHECK(program.wait() == 0);
}
TEST_CASE("the server to try a client against says which port is taken, and what a port is") {
    const test::BulkServer server;
    Child taken{{BULKHEAD_BULK_SERVER, std::to_string(server.port())}, {}, Child::Errors::kept};
    CHECK(taken.line() ==
          "bulk_server: cannot listen on 127.0.0.1:" + std::to_string(server.port()) + ": Address already in use");
    CHECK(taken.wait() == 1);
    Child wrong{{BULKHEAD_BULK_SERVER, "92000"}, {}, Child::Errors::kept};
    CHECK(wrong.line() == "usage: bulk_server [PORT] [--api-key KEY] [--tls [--certificate FILE]]; not a port: 92000");
    CHECK(wrong.wait() == 2);
    Child lacking{{BULKHEAD_BULK_SERVER, "0", "--certificate", "x"}, {}, Child::Errors::kept};
    CHECK(lacking.line().find("; --certificate needs --tls") != std::string::npos);
    CHECK(lacking.wait() == 2);
}
TEST_CASE("the server to try a client against asks for the key that it was given", "[F293]") {
    Child program{{BULKHEAD_BULK_SERVER, "0", "--api-key", "a2V5"}, {}, Child::Errors::kept};
    const auto port = port_in(program.line());
    CHECK(program.line().find("look: curl -H 'Authorization: ApiKey a2V5' http://127.0.0.1:") == 0);
    CHECK(Caller{port}.get("/").find("security_exception") != std::string::npos);
    HttpOptions with_key{.url = "http://127.0.0.1:" + std::to_string(port),
                         .credentials = Credentials::api_key("a2V5")};
    StandaloneIndexer<HttpTransport> indexer{std::move(with_key), IndexerOptions{.index = "first"}};
    indexer->enqueue({.source = "{}"});
    CHECK(indexer.close(std::chrono::seconds{30}).stats.indexed == 1);
    program.signal(SIGINT);
    CHECK(program.line() == "bulk requests: 1");
    CHECK(program.wait() == 0);
}
#endif
