// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"
#include "support/loopback_server.hpp"

#include <bulkhead/http/server_check.hpp>
#include <bulkhead/test/bulk_server.hpp>

#include <boost/asio/use_future.hpp>

#include <future>
#include <map>
#include <string>

using namespace bulkhead;
using namespace std::chrono_literals;
using loopback::Peer;
using loopback::Server;

namespace {

/// Answers by target: status and body; 404 to everything else.
struct Canned {
    std::map<std::string, std::pair<std::string, std::string>> answers;
    asio::io_context context{};
    Server server{context, [this](Peer& peer) -> asio::awaitable<void> {
                      for (;;) {
                          const auto head = co_await peer.head();
                          if (head.empty() || answers.empty()) co_return;
                          const auto begin = head.find(' ') + 1;
                          const auto found = answers.find(head.substr(begin, head.find(' ', begin) - begin));
                          const auto& [status, body] = found == answers.end()
                                                           ? std::pair<std::string, std::string>{"404 Not Found", "{}"}
                                                           : found->second;
                          co_await peer.say("HTTP/1.1 " + status +
                                            "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
                      }
                  }};

    ServerReport check(const std::string& index = {}, HttpOptions options = {}) {
        if (options.url == HttpOptions{}.url) options.url = server.url();
        const HttpTransport transport{context.get_executor(), std::move(options)};
        std::optional<ServerReport> report;
        async_check(context.get_executor(), transport, index, 5s, [&](std::exception_ptr failed, ServerReport found) {
            CHECK_FALSE(failed);
            report = std::move(found);
        });
        while (!report) {
            context.restart();
            context.run_one();
        }
        return *report;
    }
};

const std::pair<std::string, std::string> opensearch{
    "200 OK", R"({"name":"n","version":{"distribution":"opensearch","number":"2.19.3"}})"};
const std::pair<std::string, std::string> elasticsearch{
    "200 OK",
    R"({"name":"n","version":{"number":"8.19.0","build_flavor":"default"},"tagline":"You Know, for Search"})"};

} // namespace

TEST_CASE("a check says which product and version a node is") {
    Canned one{{{"/", opensearch}}};
    const auto report = one.check();
    REQUIRE(report.nodes.size() == 1);
    CHECK(report.usable());
    CHECK(report.problem().empty());
    CHECK(report.nodes[0].product == Product::opensearch);
    CHECK(report.nodes[0].version == "2.19.3");
    CHECK(report.nodes[0].name == one.server.url().substr(7));
    Canned other{{{"/", elasticsearch}}};
    CHECK(other.check().nodes[0].product == Product::elasticsearch);
}

TEST_CASE("a check names in one line what is wrong with a node") {
    const auto problem = [](std::string status, std::string body) {
        Canned server{{{"/", {std::move(status), std::move(body)}}}};
        const auto report = server.check();
        CHECK_FALSE(report.usable());
        const auto text = report.problem();
        CHECK(text.find('\n') == std::string::npos);
        return text;
    };
    CHECK(problem("401 Unauthorized", "{}").find("credentials (401)") != std::string::npos);
    CHECK(problem("503 Service Unavailable", "<html>").find("not ready (503)") != std::string::npos);
    CHECK(problem("404 Not Found", "no").find("path is wrong (404") != std::string::npos);
    CHECK(problem("404 Not Found", R"({"error":{"type":"index_not_found_exception"},"status":404})")
              .find("path is wrong (404") != std::string::npos);
    CHECK(problem("302 Found", "").find("(302") != std::string::npos);
    CHECK(problem("200 OK", "<html>\nhello").find("right port") != std::string::npos);
    CHECK(problem("200 OK", R"({"cluster":1})").find("right port") != std::string::npos);
    CHECK(problem("200 OK", std::string(3'000'000, ' ')).find("right port") != std::string::npos);

    Canned canned{{}};
    std::uint16_t port = 0;
    {
        const asio::ip::tcp::acceptor gone{canned.context, {asio::ip::address_v4::loopback(), 0}};
        port = gone.local_endpoint().port();
    }
    const auto report = canned.check({}, {.url = "http://127.0.0.1:" + std::to_string(port)});
    CHECK(report.problem().find("cannot be reached: ") != std::string::npos);
}

TEST_CASE("a server that hangs up on what it does not understand may want TLS") {
    Canned server{{}};
    const auto text = server.check().problem();
    CHECK(text.find("cannot be reached: ") != std::string::npos);
    CHECK(text.find("does it want https") != std::string::npos);
}

TEST_CASE("a check names the content coding of an answer that was to have none", "[F218]") {
    asio::io_context context;
    Server server{context, [](Peer& peer) -> asio::awaitable<void> {
                      (void)co_await peer.head();
                      co_await peer.say("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nxx");
                  }};
    const HttpTransport transport{context.get_executor(), {.url = server.url()}};
    std::string problem;
    async_check(context.get_executor(), transport, "", 5s,
                [&](const std::exception_ptr&, const ServerReport& report) { problem = report.problem(); });
    while (problem.empty()) {
        context.restart();
        context.run_one();
    }
    CHECK(problem.find("the content coding gzip") != std::string::npos);
}

TEST_CASE("who may not ask for the version may still be allowed to write") {
    Canned server{{{"/", {"403 Forbidden", "{}"}}, {"/logs/_settings?flat_settings=true", {"403 Forbidden", "{}"}}}};
    const auto report = server.check("logs");
    CHECK(report.usable());
    CHECK(report.nodes[0].version.empty());
    CHECK(report.index == IndexState::unknown);
}

TEST_CASE("a server that does not tell its version, but refuses as a search server does, is one") {
    Canned server{{{"/", {"405 Method Not Allowed", R"({"error":"Incorrect HTTP method for uri [/]","status":405})"}}}};
    CHECK(server.check().usable());
}

TEST_CASE("a check says whether the index takes documents") {
    const auto state = [](const std::pair<std::string, std::string>& settings) {
        Canned server{{{"/", elasticsearch}, {"/logs-a%2Fb/_settings?flat_settings=true", settings}}};
        return server.check("logs-a/b");
    };
    CHECK(state({"200 OK", R"({"logs":{"settings":{"index.number_of_shards":"1"}}})"}).index == IndexState::writable);
    CHECK(state({"200 OK", R"({".ds-logs-2026.11.25-000001":{"settings":{}}})"}).index == IndexState::data_stream);
    CHECK(state({"404 Not Found", R"({"error":{}})"}).index == IndexState::missing);
    CHECK(state({"200 OK", "[]"}).index == IndexState::unknown);
    const auto blocked = state({"200 OK", R"({"logs":{"settings":{"index.blocks.read_only_allow_delete":"true"}}})"});
    CHECK(blocked.index == IndexState::blocked);
    CHECK_FALSE(blocked.usable());
    CHECK(blocked.problem().find("index.blocks.read_only_allow_delete") != std::string::npos);
    CHECK(state({"200 OK", R"({"logs":{"settings":{"index.blocks.write":"false"}}})"}).usable());
}

TEST_CASE("of several nodes one that is well is enough, and the others are named") {
    Canned server{{{"/", opensearch}}};
    const auto report = server.check("logs", {.url = "http://127.0.0.1:1", .more_urls = {server.server.url()}});
    REQUIRE(report.nodes.size() == 2);
    CHECK(report.usable());
    CHECK(report.problem().find("127.0.0.1:1: cannot be reached") == 0);
    CHECK(report.index == IndexState::missing);
}

TEST_CASE("the server for tests passes the check too") {
    test::BulkServer server;
    Canned client{{}};
    CHECK(client.check("logs", {.url = server.url()}).problem().empty());
}
