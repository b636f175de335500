// SPDX-License-Identifier: BSL-1.0
// Servers that store what they are sent, and answer in a way that few clients expect: what is settled, and in how many
// requests. Real sockets on one thread, virtual time.
#include "support/catch.hpp"
#include "support/loopback_server.hpp"

#include <bulkhead/bulk_indexer.hpp>
#include <bulkhead/http/http_transport.hpp>
#include <bulkhead/test/manual_clock.hpp>

#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

using namespace bulkhead;
using namespace std::chrono_literals;
using test::ManualClock;

namespace {

using StoreTransport = basic_http_transport<PlainConnector<ManualClock>, IdentityEncoder, ManualClock>;
using StoreIndexer = BulkIndexer<StoreTransport, ManualClock>;

/// Applies every operation, and says so by `say`.
struct Store {
    explicit Store(asio::io_context& context)
        : server{context, [this](loopback::Peer& peer) -> asio::awaitable<void> {
                     for (;;) {
                         const auto request = co_await peer.request();
                         if (request.head.empty()) co_return;
                         ++requests;
                         co_await peer.say(say(apply(request.body)));
                         if (hangs_up) co_return;
                     }
                 }} {}
    std::string apply(const std::string& body) {
        std::string items;
        for (std::size_t from = 0; from < body.size();) {
            const auto line = body.substr(from, body.find('\n', from) - from);
            from = body.find('\n', body.find('\n', from) + 1) + 1;
            const auto id = line.find("\"_id\":\"");
            ++applied[id == std::string::npos ? "" : line.substr(id + 7, line.find('"', id + 7) - id - 7)];
            items += items.empty() ? "" : ",";
            items += R"({"index":{"status":201}})";
        }
        return R"({"errors":false,"items":[)" + items + "]}";
    }
    static std::string whole(const std::string& body, const std::string& fields = {},
                             const std::string& status_line = "HTTP/1.1 200 OK") {
        return status_line + "\r\n" + fields + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    }

    std::function<std::string(const std::string&)> say = [](const std::string& body) { return whole(body); };
    bool hangs_up = false;
    std::size_t requests = 0;
    std::map<std::string, int> applied{}; ///< by id
    loopback::Server server;
};

IndexerOptions three_attempts() {
    IndexerOptions options{.index = "logs"};
    options.retry.max_attempts = 3;
    options.retry.max_age = unlimited;
    return options;
}

/// Until nothing is pending, or `limit` has passed.
void settle_all(asio::io_context& context, StoreIndexer& indexer, ManualClock::duration limit) {
    for (const auto end = ManualClock::now() + limit; indexer.stats().pending != 0 && ManualClock::now() < end;) {
        context.restart();
        if (context.poll() == 0) ManualClock::advance(20ms);
    }
}

struct Life {
    explicit Life(HttpOptions http = {}, IndexerOptions options = three_attempts())
        : indexer{context.get_executor(), StoreTransport{context.get_executor(), at(std::move(http))},
                  std::move(options)} {}
    HttpOptions at(HttpOptions http) {
        ManualClock::reset();
        http.url = store.server.url();
        return http;
    }
    void index(int count) {
        for (int i = 0; i < count; ++i) indexer.enqueue({.id = "id-" + std::to_string(i), .source = R"({"n":1})"});
        indexer.flush();
    }
    Stats end(ManualClock::duration limit = 2h) {
        settle_all(context, indexer, limit);
        return indexer.stats();
    }
    [[nodiscard]] bool failed_by(std::string_view type, std::string_view reason) const {
        for (const auto& failure : indexer.stats().failures)
            if (failure.type == type && failure.reason.find(reason) != std::string::npos) return true;
        return false;
    }

    asio::io_context context;
    Store store{context};
    StoreIndexer indexer;
};

} // namespace

TEST_CASE("an answer without a reason, or with 150 kB of warnings, proves what it says", "[F219][F220]") {
    const bool warnings = GENERATE(false, true);
    Life life;
    life.store.say = [warnings](const std::string& body) {
        if (!warnings) return Store::whole(body, "", "HTTP/1.1 200");
        std::string fields;
        while (fields.size() < 150'000)
            fields += "Warning: 299 Elasticsearch-8.19.0 \"" + std::string(300, 'w') + "\"\r\n";
        return Store::whole(body, fields);
    };
    life.index(20);
    const auto stats = life.end(10min);
    CHECK(stats.indexed == 20);
    CHECK(life.store.requests == 1);
}

TEST_CASE("an answer that nobody can understand is charged, named, and ends", "[F218][F220][F221]") {
    Life life;
    std::string named;
    SECTION("compressed, though nobody asked") {
        life.store.say = [](const std::string& body) { return Store::whole(body, "Content-Encoding: gzip\r\n"); };
        named = "gzip";
    }
    SECTION("no status line") {
        life.store.say = [](const std::string& body) { return Store::whole(body, "", "ICY 200 OK"); };
        named = "cannot be understood";
    }
    SECTION("a status that is none") {
        life.store.say = [](const std::string& body) { return Store::whole(body, "", "HTTP/1.1 2xx OK"); };
        named = "cannot be understood";
    }
    SECTION("a field that is none") {
        life.store.say = [](const std::string& body) { return Store::whole(body, "what is this\r\n"); };
        named = "cannot be understood";
    }
    SECTION("two lengths") {
        life.store.say = [](const std::string& body) { return Store::whole(body, "Content-Length: 1\r\n"); };
        named = "cannot be understood";
    }
    SECTION("chunks that are none") {
        life.store.say = [](const std::string&) {
            return std::string{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"};
        };
        named = "cannot be understood";
    }
    SECTION("interim answers without end") {
        life.store.say = [](const std::string&) {
            std::string text;
            for (int i = 0; i < 20; ++i) text += "HTTP/1.1 102 Processing\r\n\r\n";
            return text;
        };
        named = "cannot be understood";
    }
    SECTION("only the connection's end ends it") {
        life.store.say = [](const std::string& body) { return "HTTP/1.1 200 OK\r\n\r\n" + body; };
        life.store.hangs_up = true;
        named = "only the connection's end ends the answer";
    }
    SECTION("header fields without end") {
        life.store.say = [](const std::string& body) {
            return Store::whole(body, "Warning: " + std::string(std::size_t{2} << 20, 'w') + "\r\n");
        };
        named = "too large";
    }
    life.index(4);
    const auto stats = life.end();
    CHECK(stats.pending == 0);
    CHECK(stats.unknown == 4);
    CHECK(stats.malformed_answers == life.store.requests);
    CHECK(life.failed_by("malformed_answer", named));
    for (const auto& [id, times] : life.store.applied) CHECK(times < 100);
}

TEST_CASE("a port that speaks TLS is the endpoint's state, and no document's", "[F221]") {
    Life life;
    life.store.say = [](const std::string&) { return std::string{"\x15\x03\x03\x00\x02\x02\x0A", 7}; };
    life.store.hangs_up = true;
    life.index(4);
    CHECK(life.end(20min).pending == 4);
    CHECK(life.indexer.stats().malformed_answers == 0);
    CHECK(life.indexer.stats().health_detail.find("speaks TLS") != std::string::npos);
    life.store.say = [](const std::string& body) { return Store::whole(body); };
    CHECK(life.end().indexed == 4);
}

TEST_CASE("a hook that throws changes nothing: one request, one document", "[F216]") {
    const bool at_start = GENERATE(true, false);
    HttpOptions http;
    const auto hook = [](const RequestEvent&) { throw std::runtime_error{"a logger that failed"}; };
    if (at_start)
        http.on_request_started = hook;
    else
        http.on_request_ended = hook;
    Life life{http};
    life.indexer.enqueue({.source = R"({"n":1})"}); // without an id: never sent twice when it may be applied
    life.indexer.flush();
    CHECK(life.end().indexed == 1);
    CHECK(life.store.requests == 1);
    CHECK(life.store.applied[""] == 1);
}

TEST_CASE("two indexers share a transport: the end of one is not the end of the other", "[F217]") {
    const bool by_close = GENERATE(true, false);
    Life life;
    StoreTransport transport{life.context.get_executor(), {.url = life.store.server.url()}};
    auto one = std::make_optional<StoreIndexer>(life.context.get_executor(), transport, three_attempts());
    StoreIndexer two{life.context.get_executor(), std::move(transport), three_attempts()};
    for (auto* indexer : {&*one, &two}) indexer->enqueue({.id = "first", .source = "{}"});
    settle_all(life.context, *one, 1min);
    settle_all(life.context, two, 1min);
    if (by_close) {
        bool closed = false;
        one->async_close(1s, [&closed](auto&&...) { closed = true; });
        while (!closed) {
            life.context.restart();
            if (life.context.poll() == 0) ManualClock::advance(20ms);
        }
    }
    one.reset();
    test::run_ready(life.context);
    two.enqueue({.id = "second", .source = "{}"});
    two.flush();
    settle_all(life.context, two, 1min);
    CHECK(two.stats().indexed == 2);
    CHECK(life.store.applied["second"] == 1);
}
