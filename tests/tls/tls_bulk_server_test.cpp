// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/bulk_indexer.hpp>
#include <bulkhead/test/tls_bulk_server.hpp>
#include <bulkhead/tls.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <utility>

namespace secured {

using namespace bulkhead;
using namespace std::chrono_literals;
using test::TlsBulkServer;

/// What one indexer makes of two documents, each with an id, within `patience`.
CloseReport index_two(const TlsBulkServer& server, TlsOptions tls, Credentials credentials = {},
                      std::chrono::seconds patience = 60s) {
    asio::io_context context;
    HttpOptions http{.url = server.url(), .credentials = std::move(credentials)};
    BulkIndexer<HttpsTransport> indexer{context.get_executor(),
                                        HttpsTransport{context.get_executor(), std::move(http), std::move(tls)},
                                        {.index = "logs", .flush_interval = 1ms}};
    indexer.enqueue({.id = "1", .source = R"({"n":1})"});
    indexer.enqueue({.id = "2", .source = R"({"n":2})"});
    CloseReport report;
    indexer.async_close(patience, [&](error_code, CloseReport r) { report = std::move(r); });
    context.run();
    return report;
}

} // namespace secured

TEST_CASE("tls server: stands in for a secured cluster, and stores what comes with its key", "[F292]") {
    using namespace secured;
    TlsBulkServer server{{.authorization = "ApiKey a2V5"}};
    std::string seen;
    server.misbehave([&](const test::BulkRequestInfo& request) -> std::optional<test::CannedAnswer> {
        seen = request.header("AUTHORIZATION");
        return std::nullopt;
    });
    CHECK(server.url().substr(0, 18) == "https://127.0.0.1:");
    SECTION("its certificate as the authority") {
        const auto report =
            index_two(server, {.ca_pem = server.layer().identity().certificate_pem}, Credentials::api_key("a2V5"));
        CHECK(report.drained);
        CHECK(report.stats.indexed == 2);
        CHECK(server.source("logs", "2") == R"({"n":2})");
        CHECK(seen == "ApiKey a2V5");
    }
    SECTION("its fingerprint") {
        const auto report =
            index_two(server, {.ca_fingerprint = server.layer().identity().fingerprint}, Credentials::api_key("a2V5"));
        CHECK(report.stats.indexed == 2);
    }
    SECTION("another key, or none: nothing is stored, and no bulk request is counted") {
        const TlsOptions tls{.ca_pem = server.layer().identity().certificate_pem};
        for (const auto& credentials : {Credentials::api_key("b3RoZXI="), Credentials{}}) {
            const auto report = index_two(server, tls, credentials, 1s);
            CHECK_FALSE(report.drained);
            CHECK(report.stats.undelivered == 2);
        }
        CHECK(server.bulk_requests() == 0);
        CHECK(server.count("logs") == 0);
    }
    SECTION("another authority: nothing is sent") {
        const auto other = test::make_tls_identity();
        const auto report = index_two(server, {.ca_pem = other.certificate_pem}, Credentials::api_key("a2V5"), 1s);
        CHECK(report.stats.undelivered == 2);
        CHECK(server.bulk_requests() == 0);
    }
}

TEST_CASE("tls server: goes away and comes back under the same certificate", "[F292]") {
    using namespace secured;
    TlsBulkServer server;
    const TlsOptions tls{.ca_fingerprint = server.layer().identity().fingerprint};
    CHECK(index_two(server, tls).stats.indexed == 2);
    server.stop();
    CHECK(index_two(server, tls, {}, 1s).stats.undelivered == 2);
    server.start();
    CHECK(index_two(server, tls).stats.indexed == 2);
    CHECK(server.times_applied("logs", "1") == 2);
}

TEST_CASE("tls server: its model's troubles and canned answers are those of the plain one", "[F292]") {
    using namespace secured;
    TlsBulkServer server;
    const TlsOptions tls{.ca_pem = server.layer().identity().certificate_pem};
    server.misbehave([](const test::BulkRequestInfo& request) -> std::optional<test::CannedAnswer> {
        if (request.number == 1) return test::CannedAnswer{.close_without_answer = true};
        if (request.number == 2) return test::CannedAnswer{.status = 503};
        return std::nullopt;
    });
    CHECK(index_two(server, tls).stats.indexed == 2);
    server.misbehave({});
    server.with_model([](test::ModelElasticsearch& model) {
        model.troubles.most_operations = 0;
        model.troubles.over_limit.kind = test::WholeFailure::Kind::reset;
    });
    const auto report = index_two(server, tls, {}, 1s);
    CHECK_FALSE(report.drained);
    CHECK(report.stats.indexed == 0);
}

TEST_CASE("tls server: a certificate and a key that do not belong together are refused", "[F292]") {
    using namespace secured;
    auto one = test::make_tls_identity();
    one.key_pem = test::make_tls_identity().key_pem;
    CHECK_THROWS_AS(test::TlsLayer{one}, boost::system::system_error);
    one.key_pem = "no PEM";
    CHECK_THROWS_AS(test::TlsLayer{one}, boost::system::system_error);
}
