// SPDX-License-Identifier: BSL-1.0
// What has no executor of its own speaks TLS all the same, with an authority that is not the system's.
#include "support/catch.hpp"
#include "tls/client.hpp"

#include <bulkhead/http/http_transport.hpp>
#include <bulkhead/standalone_indexer.hpp>

#include <thread>

using namespace tls_client;
using tls_loopback::Server;
using tls_loopback::ServerEnd;

namespace {

asio::awaitable<void> stores_one_each(ServerEnd& end) {
    for (;;) {
        const auto request = co_await end.request();
        if (request.head.empty()) co_return;
        co_await end.say(answer(R"({"errors":false,"items":[{"index":{"status":201}}]})"));
    }
}

} // namespace

TEST_CASE("a StandaloneIndexer over TLS trusts the authority that it is given, and no other", "[F205]") {
    asio::io_context context;
    Server server{context, {.identity = house.server}, stores_one_each};
    std::thread serves{[&context] { context.run(); }};
    const HttpOptions http{.url = "https://127.0.0.1:" + std::to_string(server.port())};
    {
        StandaloneIndexer<HttpsTransport> indexer{http, trusting_house(), {.index = "logs"}};
        indexer->enqueue({.source = "{}"});
        const auto report = indexer.close(30s);
        CHECK(report.drained);
        CHECK(report.stats.indexed == 1);
    }
    {
        StandaloneIndexer<HttpsTransport> indexer{http, trusting(house.stranger), IndexerOptions{.index = "logs"}};
        indexer->enqueue({.source = "{}"});
        indexer->flush();
        // The count comes before the text: a loop that ends by the count can read an empty text.
        while (indexer->stats().health_detail.empty()) std::this_thread::yield();
        CHECK(contains(indexer->stats().health_detail, "127.0.0.1"));
        const auto report = indexer.close(std::chrono::milliseconds{0});
        CHECK(report.stats.indexed == 0);
        CHECK(report.stats.pending == 0);
    }
    CHECK_THROWS_AS((StandaloneIndexer<HttpsTransport>{http, TlsOptions{.ca_pem = "no certificate"},
                                                       IndexerOptions{.index = "logs"}}),
                    InvalidOption);
    context.stop();
    serves.join();
}
