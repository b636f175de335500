// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"
#include "support/indexer_bench.hpp"

#include <bulkhead/test/model_elasticsearch.hpp>

#include <boost/json/parse.hpp>

using namespace bench;

// `Ordering::per_id`: of one document one operation at a time is under way.

namespace {

struct OrderBench : Bench {
    explicit OrderBench(IndexerOptions options = {}) : Bench{per_id(std::move(options))} {}
    static IndexerOptions per_id(IndexerOptions options) {
        options.ordering = Ordering::per_id;
        return options;
    }
    void put_version(std::uint64_t key, const std::string& id, Action action = Action::index) {
        REQUIRE(put(key, {.action = action, .id = id}) == Admission::accepted);
    }
    /// The sources of a request, in order; a delete is `-`.
    [[nodiscard]] std::vector<std::string> sources(std::size_t request) const {
        std::vector<std::string> found;
        for (const auto& line : lines(script->requests().at(request).body)) {
            if (line.starts_with("{\"delete\"")) found.emplace_back("-");
            if (line.starts_with("{\"n\"")) found.push_back(line);
        }
        return found;
    }
};
const std::vector<std::string> one_answer{item(201)};

} // namespace

TEST_CASE("a later operation of an id waits until the earlier one has settled, also across a retry", "[F076]") {
    OrderBench b;
    b.put_version(1, "x");
    b.put_version(2, "y");
    b.flush();
    b.put_version(3, "x");
    b.put_version(4, "z");
    b.flush();
    REQUIRE(b.script->requests().size() == 2);
    CHECK(b.sources(1) == std::vector<std::string>{R"({"n":4})"});
    CHECK(b.stats().waiting_for_id == 1);
    b.script->answer(0, Answer::items({item(429, "es_rejected_execution_exception"), item(201)}));
    b.script->answer(1, Answer::items(one_answer));
    b.run();
    CHECK(b.stats().waiting_for_id == 1); // the first is only put back
    b.run_for(31s, 10ms);
    REQUIRE(b.script->requests().size() == 3);
    CHECK(b.sources(2) == std::vector<std::string>{R"({"n":1})"});
    b.script->answer(2, Answer::items(one_answer));
    b.run();
    REQUIRE(b.script->requests().size() == 4);
    CHECK(b.sources(3) == std::vector<std::string>{R"({"n":3})"});
    CHECK(b.stats().waiting_for_id == 0);
    b.script->answer(3, Answer::items(one_answer));
    b.run();
    CHECK(b.count(Outcome::indexed) == 4);
    CHECK(b.stats().pending == 0);
    CHECK(b.stats().order_uncertain == 0);
    CHECK(b.books_balance());
}

TEST_CASE("within a batch, too: index, delete, index of one id travel one after the other", "[F078]") {
    OrderBench b;
    b.put_version(1, "x");
    b.put_version(2, "x", Action::delete_);
    b.put_version(3, "x");
    b.put_version(4, "y");
    b.flush();
    for (std::size_t i = 0; i < 3; ++i) {
        REQUIRE(b.script->requests().size() == i + 1);
        CHECK(b.stats().waiting_for_id == 2 - i);
        b.script->answer_all_ok();
        b.run();
    }
    CHECK(b.sources(0) == std::vector<std::string>{R"({"n":1})", R"({"n":4})"});
    CHECK(b.sources(1) == std::vector<std::string>{"-"});
    CHECK(b.sources(2) == std::vector<std::string>{R"({"n":3})"});
    CHECK(b.count(Outcome::indexed) == 4);
    CHECK(b.books_balance());
}

TEST_CASE("many operations of one id and many ids: the store ends with the last of each", "[F076][F078]") {
    OrderBench b{{.max_batch_operations = 20, .max_in_flight = 3}};
    test::ModelElasticsearch server;
    Jitter random{7};
    std::map<std::string, std::string> last; // by id; empty: deleted
    b.script->respond = [&](const test::SeenRequest& request) -> std::optional<Answer> {
        std::vector<std::string> items;
        std::string body;
        const auto all = lines(request.body);
        for (std::size_t i = 0; i < all.size();) { // a third is refused for now, whatever comes after it
            const bool has_source = !all[i].starts_with("{\"delete\"");
            const auto text = all[i] + "\n" + (has_source ? all[i + 1] + "\n" : "");
            i += has_source ? 2 : 1;
            if (random() % 3 == 0) {
                items.push_back(item(429, "es_rejected_execution_exception"));
                continue;
            }
            const auto answer = boost::json::parse(server.bulk(text).body);
            items.push_back(boost::json::serialize(answer.at("items").at(0)));
        }
        return Answer::items(items);
    };
    for (std::uint64_t key = 0; key < 600; ++key) {
        const auto id = "id" + std::to_string(random() % 10);
        const bool gone = random() % 4 == 0;
        b.put_version(key, id, gone ? Action::delete_ : Action::index);
        last[id] = gone ? "" : "{\"n\":" + std::to_string(key) + "}";
        if (random() % 10 == 0) b.run_for(10ms);
    }
    for (int i = 0; i < 1000 && b.stats().pending != 0; ++i) b.run_for(10s, 50ms);
    REQUIRE(b.stats().pending == 0);
    for (const auto& [id, source] : last) {
        INFO(id);
        CHECK(server.source("logs", id).value_or("") == source);
    }
    CHECK(b.stats().waiting_for_id == 0);
    CHECK(b.books_balance());
}

TEST_CASE("what repeats an unanswered attempt without a version is counted as uncertain", "[F077]") {
    OrderBench b;
    b.put_version(1, "x");
    REQUIRE(b.put(2, {.id = "y", .version = 5}) == Admission::accepted);
    b.flush();
    b.script->answer(0, Answer::lost(Sent::complete));
    b.run_for(31s, 10ms);
    b.script->answer_all_ok();
    b.run();
    CHECK(b.count(Outcome::indexed) == 2);
    CHECK(b.stats().order_uncertain == 1);
}

TEST_CASE("what waits for its id grows old, and is given up by a close, in order and handed back") {
    OrderBench b{{.retry = {.max_age = 5s}}};
    b.put_version(1, "x");
    b.flush();
    b.put_version(2, "x");
    b.flush();
    b.run_for(3s);
    b.put_version(3, "x");
    b.flush();
    SECTION("too old") {
        b.run_for(4s);
        CHECK(b.count(Outcome::undelivered) == 1); // the second; the first is in flight, the third younger
        CHECK(b.told[0].key == 2);
        b.script->answer_all_ok();
        b.run();
        b.script->answer_all_ok();
        b.run();
        CHECK(b.count(Outcome::indexed) == 2);
    }
    SECTION("closed") {
        std::optional<CloseReport> report;
        b.indexer->async_close(0s, [&](error_code, CloseReport r) { report = std::move(r); });
        b.run();
        REQUIRE(report);
        CHECK(report->undelivered.size() == 2);
        CHECK(b.count(Outcome::undelivered) == 2);
        CHECK(b.count(Outcome::unknown) == 1);
    }
    CHECK(b.stats().pending == 0);
    CHECK(b.stats().waiting_for_id == 0);
    CHECK(b.books_balance());
}

TEST_CASE("ids of different indices, and operations without an id, do not wait for each other") {
    OrderBench b;
    REQUIRE(b.put(1, {.index = "a", .id = "x"}) == Admission::accepted);
    REQUIRE(b.put(2, {.index = "b", .id = "x"}) == Admission::accepted);
    REQUIRE(b.put(3, {.action = Action::create, .index = "a", .id = "x", .routing = "r"}) == Admission::accepted);
    REQUIRE(b.put(4) == Admission::accepted);
    REQUIRE(b.put(5) == Admission::accepted);
    b.flush();
    CHECK(b.script->requests()[0].operations == 4);
    CHECK(b.stats().waiting_for_id == 1);
    b.script->answer_all_ok();
    b.run();
    b.script->answer_all_ok();
    b.run();
    CHECK(b.count(Outcome::indexed) == 5);
}

TEST_CASE("what a close handed back waits in another indexer for its id like anything else", "[F078]") {
    const IndexerOptions options{.max_in_flight = 1, .ordering = Ordering::per_id};
    Bench first{options};
    first.put(0, {.id = "a"});
    first.flush();
    first.script->answer(0, Answer::items({item(503, "unavailable_shards_exception")}));
    first.run();
    std::optional<CloseReport> report;
    first.indexer->async_close(0s, [&](error_code, CloseReport r) { report = std::move(r); });
    first.run();
    REQUIRE(report);
    REQUIRE(report->undelivered.size() == 1);

    Bench second{options};
    second.indexer->enqueue(*report->undelivered[0]);
    second.put(1, {.id = "a"});
    second.flush();
    REQUIRE(second.script->requests().size() == 1);
    CHECK(second.script->requests()[0].operations == 1);
    CHECK(second.stats().waiting_for_id == 1);
    second.script->answer_all_ok();
    second.run();
    CHECK(second.script->requests().size() == 2);
}

TEST_CASE("what waits for one id is given up by a close in large pieces, in order, not one operation at a time",
          "[F193]") {
    OrderBench b{{.max_in_flight = 2}};
    constexpr std::uint64_t count = 10'000;
    for (std::uint64_t i = 0; i < count; ++i) {
        b.put_version(i, "hot");
        if (i % 1000 == 0) b.run();
    }
    b.run_for(2s);
    CHECK(b.stats().waiting_for_id > count / 2);
    std::optional<CloseReport> report;
    b.indexer->async_close(0s, [&](error_code, CloseReport r) { report = std::move(r); });
    b.run();
    REQUIRE(report);
    CHECK(report->stats.undelivered == count - 1);
    CHECK(report->stats.unknown == 1);
    CHECK(report->undelivered.size() < 100);
    CHECK(b.calls < 100);
    std::uint64_t next = 1;
    for (const auto& batch : report->undelivered)
        for (const auto& line : lines(std::string{batch->body()}))
            if (line.starts_with("{\"n\":")) REQUIRE(line == "{\"n\":" + std::to_string(next++) + "}");
    CHECK(next == count);
    REQUIRE(b.told.size() == count);
    CHECK(report->stats.waiting_for_id == 0);
}

TEST_CASE("a close gives up early enough to settle what is pending", "[F193]") {
    using bulkhead::detail::close_margin;
    static_assert(close_margin(0s, 1000) == 0s);
    static_assert(close_margin(-1s, 1000) == 0s);
    static_assert(close_margin(2s, 0) == 100ms);
    static_assert(close_margin(500ms, 0) == 50ms);
    CHECK(close_margin(1h, 600'000) == 700ms);
    CHECK(close_margin(1s, 600'000) == 500ms); // at most half of the time
    static_assert(close_margin(1s, 0xffffffffffffffffU) == 500ms);
    static_assert(close_margin(std::chrono::nanoseconds::max(), 0xffffffffffffffffU) > 24h);
    OrderBench b{{.max_in_flight = 2}};
    for (std::uint64_t i = 0; i < 5000; ++i) b.put_version(i, "hot");
    b.run_for(2s);
    bool closed = false;
    b.indexer->async_close(10s, [&](error_code, const CloseReport&) { closed = true; });
    b.run_for(9894ms, 1ms);
    CHECK(b.told.empty());
    b.run_for(2ms, 1ms); // 100 ms for observers, and 5000 operations
    CHECK(b.told.size() == 5000);
    CHECK(closed);
}

TEST_CASE("the next operation of an id is given up with the one before it when both are too old", "[F195]") {
    OrderBench b{{.retry = {.max_attempts = 1000, .initial_backoff = 50ms, .max_backoff = 100ms, .max_age = 2s}}};
    const auto began = ManualClock::now();
    auto late = ManualClock::duration::zero();
    b.script->respond = [&](const test::SeenRequest& r) {
        std::vector<std::string> items;
        for (const auto& line : lines(r.body)) {
            if (!line.starts_with("{\"n\":")) continue;
            const bool first = line == "{\"n\":1}";
            if (!first && line != "{\"n\":9}") late = ManualClock::now() - began;
            items.push_back(first ? item(503, "unavailable_shards_exception") : item(201));
        }
        return Answer::items(items);
    };
    b.put_version(1, "x");
    b.put_version(2, "x");
    b.put_version(3, "x");
    b.put_version(9, "y"); // so that the answer is not about the endpoint as a whole
    b.flush();
    b.run_for(4s);
    CHECK(b.told.size() == 4);
    CHECK(b.count(Outcome::undelivered) == 3);
    CHECK(late == ManualClock::duration::zero()); // the second and the third never travelled
    CHECK(b.stats().pending == 0);
    CHECK(b.stats().waiting_for_id == 0);
}
