// SPDX-License-Identifier: BSL-1.0
// Compressed bodies on their way to a server on loopback, in virtual time.

#include "gzip/decoded.hpp"
#include "support/catch.hpp"
#include "support/kept.hpp"
#include "support/loopback_server.hpp"

#include <bulkhead/bulk_indexer.hpp>
#include <bulkhead/gzip.hpp>
#include <bulkhead/test/manual_clock.hpp>

#include <boost/asio/use_future.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <future>
#include <map>
#include <string>
#include <vector>

using namespace bulkhead;
using namespace std::chrono_literals;
using bulkhead_test::decoded;
using loopback::Peer;
using loopback::Server;
using test::ManualClock;

namespace {

using ManualTransport = basic_http_transport<PlainConnector<ManualClock>, GzipEncoder, ManualClock>;

std::string answer(const std::string& body, const std::string& status = "200 OK") {
    return "HTTP/1.1 " + status + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

/// Runs until `done`, with a little time for each round, so that what backs off goes on.
template <class F>
void until(asio::io_context& context, F done) {
    for (int rounds = 0; !done(); ++rounds) {
        if (rounds == 100'000) FAIL("more than an hour");
        test::run_ready(context);
        ManualClock::advance(50ms);
    }
}

} // namespace

TEST_CASE("gzip: a body travels compressed, says so, and is counted in both sizes; a question travels as it is",
          "[gzip]") {
    ManualClock::reset();
    asio::io_context context;
    std::vector<loopback::Request> seen;
    Server server{context, [&](Peer& peer) -> asio::awaitable<void> {
                      for (;;) {
                          auto request = co_await peer.request();
                          if (request.head.empty()) co_return;
                          seen.push_back(std::move(request));
                          co_await peer.say(answer("{}"));
                      }
                  }};
    std::vector<std::array<std::size_t, 2>> sizes;
    HttpOptions options{.url = server.url()};
    options.on_request_ended = [&](const RequestEvent& event) {
        sizes.push_back({event.body_bytes, event.wire_bytes});
    };
    ManualTransport transport{context.get_executor(), options};

    const std::string begin = "{\"index\":{}}\n{\"message\":\"";
    const std::string end = std::string(5000, 'x') + "\"}\n";
    const std::array<asio::const_buffer, 2> body{asio::buffer(begin), asio::buffer(end)};
    for (std::size_t pieces = 1; pieces <= 2; ++pieces) {
        Request request;
        request.target = "/_bulk";
        request.body = {body.data() + (2 - pieces), pieces};
        request.body_bytes = asio::buffer_size(request.body);
        request.operations = 1;
        request.timeout = 30s;
        bulkhead_test::KeptBody sink;
        auto sent = asio::co_spawn(context, transport.send(request, sink), asio::use_future);
        until(context, [&] { return sent.wait_for(0s) == std::future_status::ready; });
        CHECK(sent.get().status == 200);
    }
    bulkhead_test::KeptBody sink;
    auto asked = asio::co_spawn(context, transport.ask(0, {"POST", "/_search", "{\"size\":0}"}, 30s, sink), //
                                asio::use_future);
    until(context, [&] { return asked.wait_for(0s) == std::future_status::ready; });
    CHECK(asked.get().status == 200);

    REQUIRE(seen.size() == 3);
    CHECK(server.connections() == 1);
    CHECK(decoded(seen[0].body) == end);
    CHECK(decoded(seen[1].body) == begin + end);
    CHECK(seen[2].body == "{\"size\":0}");
    for (std::size_t i = 0; i < 3; ++i) {
        const auto& head = seen[i].head;
        const auto field = head.find("\r\nContent-Encoding: gzip\r\n");
        CHECK((field != std::string::npos) == (i < 2));
        CHECK(head.find("Content-Encoding", field == std::string::npos ? 0 : field + 10) == std::string::npos);
        CHECK(head.find("Accept-Encoding: identity\r\n") != std::string::npos); // no compressed answers
    }
    REQUIRE(sizes.size() == 2);
    CHECK(sizes[0] == std::array{end.size(), seen[0].body.size()});
    CHECK(sizes[1] == std::array{begin.size() + end.size(), seen[1].body.size()});
    CHECK(sizes[1][1] < 100);

    transport.shutdown();
    test::run_ready(context);
}

TEST_CASE("gzip: a server that refuses compressed bodies is a fault of the configuration, not of the documents",
          "[gzip][F066]") {
    ManualClock::reset();
    const auto refusal = GENERATE(std::string{"415 Unsupported Media Type"}, std::string{"400 Bad Request"});
    CAPTURE(refusal);
    asio::io_context context;
    bool refuses = true;
    std::size_t refusals = 0;
    std::map<std::string, int> stored; // source -> times
    Server server{context, [&](Peer& peer) -> asio::awaitable<void> {
                      for (;;) {
                          const auto request = co_await peer.request();
                          if (request.head.empty()) co_return;
                          if (refuses) {
                              ++refusals;
                              co_await peer.say(answer("content encoding gzip is not supported", refusal));
                              continue;
                          }
                          const auto body = decoded(request.body);
                          std::string items;
                          for (std::size_t at = 0; at < body.size();) {
                              const auto source = body.find('\n', at) + 1;
                              at = body.find('\n', source) + 1;
                              ++stored[body.substr(source, at - source - 1)];
                              items += (items.empty() ? "" : ",") + std::string{R"({"create":{"status":201}})"};
                          }
                          co_await peer.say(answer(R"({"errors":false,"items":[)" + items + "]}"));
                      }
                  }};
    IndexerOptions options{.index = "logs", .max_in_flight = 1, .retry = {.max_age = unlimited}};
    BulkIndexer<ManualTransport, ManualClock> indexer{
        context.get_executor(), ManualTransport{context.get_executor(), HttpOptions{.url = server.url()}}, options};
    for (int i = 0; i < 1000; ++i)
        REQUIRE(indexer.try_enqueue({.action = Action::create, .source = "{\"n\":" + std::to_string(i) + "}"}) ==
                Admission::accepted);
    until(context, [&] { return indexer.stats().health == Health::misconfigured && refusals >= 50; });
    CHECK(refusals < 150);
    const auto stats = indexer.stats();
    CHECK(stats.rejected <= (refusal.starts_with("415") ? 0U : 40U)); // 400 means a document until all are refused
    CHECK(stats.pending == 1000 - stats.rejected);

    refuses = false;
    until(context, [&] { return indexer.stats().pending == 0; });
    CHECK(indexer.stats().health == Health::ok);
    CHECK(indexer.stats().rejected == stats.rejected);
    CHECK(indexer.stats().indexed == 1000 - stats.rejected);
    CHECK(stored.size() == 1000 - stats.rejected);
    CHECK(std::all_of(stored.begin(), stored.end(), [](const auto& one) { return one.second == 1; }));
}
