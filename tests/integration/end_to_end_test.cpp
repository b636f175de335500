// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/http/http_transport.hpp>
#include <bulkhead/standalone_indexer.hpp>
#include <bulkhead/test/bulk_server.hpp>

#include <atomic>
#include <map>
#include <string>
#include <thread>
#include <vector>

using namespace bulkhead;
using namespace std::chrono_literals;
using test::BulkRequestInfo;
using test::BulkServer;
using test::CannedAnswer;

namespace {

IndexerOptions eager() {
    return {.index = "logs",
            .max_batch_operations = 100,
            .flush_interval = 5ms,
            .retry = {.initial_backoff = 5ms, .max_backoff = 20ms, .max_age = unlimited}};
}

std::string document(std::size_t key) { return "{\"n\":" + std::to_string(key) + ",\"text\":\"naïve – ☂\"}"; }

/// An indexer against a server on loopback; counts how often each key was told, and as what.
struct Pipeline {
    explicit Pipeline(IndexerOptions options = eager(), test::BulkServerOptions server_options = {})
        : server{server_options}, indexer{HttpOptions{.url = server.url()}, std::move(options)} {
        subscription = indexer.subscribe([this](std::span<const Settlement> settlements) {
            for (const auto& s : settlements) told[s.key].push_back(s.outcome);
        });
    }
    Admission put(std::size_t key, Action action = Action::create) {
        const auto id = "id-" + std::to_string(key);
        const auto source = document(key);
        return indexer->enqueue_wait({.action = action, .id = id, .source = source}, 60s, subscription.ticket(key));
    }
    /// Every key from 0 was told once, as `outcome`, and the store holds exactly these documents, byte for byte.
    void check_all(std::size_t count, Outcome outcome = Outcome::indexed) {
        CHECK(told.size() == count);
        std::size_t wrong = 0;
        for (const auto& [key, outcomes] : told) wrong += outcomes.size() != 1 || outcomes[0] != outcome ? 1U : 0U;
        CHECK(wrong == 0);
        check_store(count);
    }
    void check_store(std::size_t count) {
        CHECK(server.count("logs") == count);
        std::size_t wrong = 0;
        for (std::size_t key = 0; key < count; ++key) {
            const auto id = "id-" + std::to_string(key);
            wrong += server.source("logs", id) != document(key) || server.times_applied("logs", id) != 1 ? 1U : 0U;
        }
        CHECK(wrong == 0);
    }

    BulkServer server;
    std::map<std::uint64_t, std::vector<Outcome>> told; // on the indexer's thread until it is closed
    StandaloneIndexer<HttpTransport> indexer;
    Subscription subscription;
};

} // namespace

TEST_CASE("everything enqueued is in the store, document by document", "[F001]") {
    Pipeline p;
    for (std::size_t key = 0; key < 5000; ++key) REQUIRE(p.put(key) == Admission::accepted);
    const auto report = p.indexer.close(30s);
    CHECK(report.drained);
    CHECK(report.stats.indexed == 5000);
    p.check_all(5000);
}

TEST_CASE("several producers at once", "[F102]") {
    Pipeline p;
    std::vector<std::thread> producers;
    for (std::size_t t = 0; t < 4; ++t)
        producers.emplace_back([&p, t] {
            for (std::size_t i = 0; i < 2000; ++i) (void)p.put(t * 2000 + i);
        });
    for (auto& producer : producers) producer.join();
    CHECK(p.indexer.close(30s).drained);
    p.check_all(8000);
}

TEST_CASE("one bad document in each hundred fails alone", "[F002]") {
    Pipeline p;
    for (std::size_t key = 0; key < 1000; ++key) {
        const auto id = "id-" + std::to_string(key);
        const auto source = key % 100 == 42 ? std::string{"{\"broken\":}"} : document(key);
        REQUIRE(p.indexer->enqueue_wait({.id = id, .source = source}, 60s, p.subscription.ticket(key)) ==
                Admission::accepted);
    }
    const auto report = p.indexer.close(30s);
    CHECK(report.stats.indexed == 990);
    CHECK(report.stats.rejected == 10);
    CHECK(p.server.count("logs") == 990);
    for (const auto& [key, outcomes] : p.told)
        CHECK(outcomes == std::vector{key % 100 == 42 ? Outcome::rejected : Outcome::indexed});
    REQUIRE(report.stats.failures.size() == 1);
    CHECK(report.stats.failures[0].type == "document_parsing_exception");
}

TEST_CASE("one operation makes the server refuse the whole request: the other 999 are indexed", "[F030]") {
    auto options = eager();
    options.max_batch_operations = 1000;
    options.flush_interval = 10s;
    Pipeline p{options};
    for (std::size_t key = 0; key < 999; ++key) {
        REQUIRE(p.put(key) == Admission::accepted);
        if (key != 500) continue;
        // The servers read an update's body with the request: its fault is a whole 400, not an item's.
        const Operation poison{.action = Action::update, .id = "poison", .source = "{\"doc\":}"};
        REQUIRE(p.indexer->enqueue_wait(poison, 60s, p.subscription.ticket(1000)) == Admission::accepted);
    }
    const auto report = p.indexer.close(30s);
    CHECK(report.drained);
    CHECK(report.stats.indexed == 999);
    CHECK(report.stats.rejected == 1);
    CHECK(p.told[1000] == std::vector{Outcome::rejected});
    CHECK(p.server.bulk_requests() <= 21); // 2 log2(1000) + 1
    p.check_store(999);
}

TEST_CASE("a server that takes only small requests: they are split, what fits nowhere is rejected", "[F032]") {
    auto options = eager();
    options.flush_interval = 50ms;
    Pipeline p{options, {.max_body_bytes = 2000}};
    for (std::size_t key = 0; key < 500; ++key) REQUIRE(p.put(key) == Admission::accepted);
    const auto big = "{\"x\":\"" + std::string(3000, 'x') + "\"}";
    REQUIRE(p.indexer->enqueue_wait({.id = "big", .source = big}, 60s, p.subscription.ticket(1000)) ==
            Admission::accepted);
    const auto report = p.indexer.close(60s);
    CHECK(report.drained);
    CHECK(report.stats.indexed + report.stats.superseded == 500);
    CHECK(report.stats.rejected == 1);
    CHECK(p.told[1000] == std::vector{Outcome::rejected});
    p.check_store(500);
}

TEST_CASE("a server in a bad mood: every document is stored exactly once all the same",
          "[F005][F019][F023][F024][F032][F047]") {
    auto options = eager();
    options.retry.max_attempts = 1000; // of which nonsense uses one: by chance an operation meets little else
    Pipeline p{options};
    p.server.misbehave([](const BulkRequestInfo& request) -> std::optional<CannedAnswer> {
        switch (request.number % 12) {
        case 0: return CannedAnswer{.status = 503, .body = "<html>busy</html>", .content_type = "text/html"};
        case 1: return CannedAnswer{.status = 429, .headers = "Retry-After: 0\r\n"};
        case 2: return CannedAnswer{.close_without_answer = true};
        case 3: return CannedAnswer{.apply_at_most = 50, .close_without_answer = true}; // a prefix was applied
        case 4: return CannedAnswer{.apply_at_most = 1000000, .close_without_answer = true};
        case 5: return CannedAnswer{.apply_at_most = 50, .keep_model_answer = true}; // too few items
        case 6: return CannedAnswer{.status = 200, .body = "<html>welcome</html>"};
        case 7: // of a lone operation it would be the last word
            if (request.lines() <= 2) return std::nullopt;
            return CannedAnswer{.status = 413};
        case 8: return CannedAnswer{.raw = "HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{\"errors\":false,\"it"};
        case 9: return CannedAnswer{.raw = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}"};
        default: return std::nullopt;
        }
    });
    for (std::size_t key = 0; key < 3000; ++key) REQUIRE(p.put(key) == Admission::accepted);
    for (int i = 0; i < 50 && p.indexer.flush(1s); ++i) {
    }
    p.server.misbehave({});
    const auto report = p.indexer.close(60s);
    CHECK(report.drained);
    CHECK(report.stats.failed_requests > 5);
    CAPTURE(report.stats.rejected, report.stats.unknown, report.stats.undelivered);
    CHECK(report.stats.indexed + report.stats.superseded == 3000);
    for (const auto& [key, outcomes] : p.told) CHECK(outcomes.size() == 1);
    p.check_store(3000);
}

TEST_CASE("the server goes away in the middle and comes back: it goes on by itself, and the counts are exact",
          "[F064]") {
    Pipeline p;
    for (std::size_t key = 0; key < 500; ++key) REQUIRE(p.put(key) == Admission::accepted);
    p.server.stop();
    for (std::size_t key = 500; key < 2000; ++key) REQUIRE(p.put(key) == Admission::accepted);
    CHECK(p.indexer.flush(50ms) == error_code{errc::deadline_exceeded});
    CHECK(p.indexer->stats().health == Health::backing_off);
    p.server.start();
    CHECK_FALSE(p.indexer.flush(60s));
    const auto report = p.indexer.close(60s);
    CHECK(report.drained);
    CHECK(report.stats.health == Health::ok);
    p.check_store(2000);
}

TEST_CASE("a server that never answers does not keep close from its deadline", "[F053][F117]") {
    Pipeline p;
    std::atomic<bool> asked{false};
    p.server.misbehave([&](const BulkRequestInfo&) {
        asked = true;
        return CannedAnswer{.no_answer = true};
    });
    REQUIRE(p.put(0) == Admission::accepted);
    while (!asked) std::this_thread::yield();
    const auto report = p.indexer.close(20ms);
    CHECK_FALSE(report.drained);
    CHECK(report.stats.unknown == 1);
    CHECK(report.stats.pending == 0);
}

TEST_CASE("closing with the server gone: the report adds up, and nothing is claimed", "[F053]") {
    Pipeline p;
    for (std::size_t key = 0; key < 300; ++key) REQUIRE(p.put(key) == Admission::accepted);
    REQUIRE_FALSE(p.indexer.flush(60s));
    p.server.stop();
    for (std::size_t key = 300; key < 1000; ++key) REQUIRE(p.put(key) == Admission::accepted);
    const auto report = p.indexer.close(20ms);
    CHECK_FALSE(report.drained);
    CHECK(report.stats.indexed == 300);
    CHECK(report.stats.undelivered + report.stats.unknown == 700);
    CHECK(report.stats.pending == 0);
    CHECK(p.told.size() == 1000);
    for (const auto& [key, outcomes] : p.told) {
        REQUIRE(outcomes.size() == 1);
        CHECK((outcomes[0] == Outcome::indexed) == (key < 300));
    }
    CHECK(p.server.count("logs") == 300);
}

TEST_CASE("a request that is not answered in time is repeated where that does no harm", "[F053]") {
    auto options = eager();
    options.request_timeout = 30ms;
    Pipeline p{options};
    p.server.misbehave([](const BulkRequestInfo& request) -> std::optional<CannedAnswer> {
        if (request.number == 1) return CannedAnswer{.apply_at_most = 1000, .no_answer = true};
        return std::nullopt;
    });
    REQUIRE(p.put(0) == Admission::accepted);
    const auto report = p.indexer.close(30s);
    CHECK(report.drained);
    CHECK(report.stats.superseded == 1); // our own create of the first attempt was there already
    p.check_store(1);
}

TEST_CASE("actions of all kinds, and what they did") {
    Pipeline p;
    const auto run = [&](const Operation& op) {
        std::promise<std::pair<error_code, IndexResult>> done;
        auto result = done.get_future();
        p.indexer->async_index(op, [done = std::move(done)](error_code error, IndexResult r) mutable {
            done.set_value({error, std::move(r)});
        });
        auto [error, ended] = result.get();
        CHECK_FALSE(error);
        return ended;
    };
    CHECK(run({.id = "a", .source = "{\"n\":1}"}).outcome == Outcome::indexed);
    CHECK(run({.action = Action::update, .id = "a", .source = "{\"doc\":{\"n\":2}}"}).result == Result::updated);
    CHECK(run({.action = Action::update, .id = "a", .source = "{\"doc\":{\"n\":2}}"}).result == Result::noop);
    CHECK(run({.action = Action::create, .id = "a", .source = "{}"}).outcome == Outcome::rejected);
    CHECK(run({.id = "a", .version = 1, .source = "{\"n\":9}"}).outcome == Outcome::superseded);
    CHECK(run({.id = "a", .if_seq_no = 77, .if_primary_term = 1, .source = "{}"}).status == 409);
    CHECK(p.server.source("logs", "a") == "{\"n\":2}");
    CHECK(run({.action = Action::delete_, .id = "a"}).result == Result::deleted);
    CHECK(run({.action = Action::delete_, .id = "a"}).result == Result::not_found);
    CHECK(p.server.count("logs") == 0);
}
