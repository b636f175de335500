// SPDX-License-Identifier: BSL-1.0
#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/indexer_bench.hpp"

#include <set>

using namespace bench;

// Ids made here, the retry budget, merged retries, limits that change, and what a close hands back.

TEST_CASE("an operation without an id gets one when it is enqueued, and keeps it", "[F079]") {
    Bench b{{.duplicates = Duplicates::client_id}};
    b.put(1);
    b.put(2, {.action = Action::create, .routing = "r"});
    b.put(3, {.id = "mine"});
    Batch scratch;
    REQUIRE_FALSE(scratch.append({.index = "other", .source = R"({"n":4})"}));
    REQUIRE_FALSE(scratch.append({.action = Action::delete_, .index = "other", .id = "gone"}));
    REQUIRE(b.indexer->try_enqueue(scratch, b.subscription.ticket(4)) == Admission::accepted);
    b.flush();
    REQUIRE(b.script->requests().size() == 1);
    const auto first = b.script->requests()[0].body;
    const auto sent = lines(first);
    REQUIRE(sent.size() == 9);
    CHECK(sent[0].starts_with(R"({"create":{"_index":"logs","_id":")"));
    CHECK(sent[2].starts_with(R"({"create":{"_index":"logs","_id":")"));
    CHECK(sent[2].ends_with(R"(","routing":"r"}})"));
    CHECK(sent[4] == R"({"index":{"_index":"logs","_id":"mine"}})");
    CHECK(sent[6].starts_with(R"({"create":{"_index":"other","_id":")"));
    CHECK(sent[7] == R"({"n":4})");
    CHECK(sent[8] == R"({"delete":{"_index":"other","_id":"gone"}})");
    CHECK(std::set<std::string>{sent[0], sent[2], sent[6]}.size() == 3);

    b.script->answer(0, Answer::lost(Sent::complete)); // applied, but nobody said so
    b.run_for(31s, 50ms);
    REQUIRE(b.script->requests().size() == 2);
    CHECK(b.script->requests()[1].body == first);
    const auto there = item(409, "version_conflict_engine_exception", "create");
    b.script->answer(1, Answer::items({there, there, item(200), there, item(404, "", "delete")}));
    b.run();
    CHECK(b.count(Outcome::superseded) == 3);
    CHECK(b.count(Outcome::indexed) == 2);
}

TEST_CASE("ids made here are refused at construction where the target makes its own", "[F079]") {
    IndexerOptions options{.index = "metrics", .duplicates = Duplicates::client_id};
    CHECK_FALSE(validate(options));
    options.target_makes_ids = true;
    const auto wrong = validate(options);
    REQUIRE(wrong);
    CHECK(wrong->field == "duplicates");
    CHECK_THROWS_AS(Bench{options}, InvalidOption);
    for (const auto duplicates : {Duplicates::forbid, Duplicates::allow}) {
        options.duplicates = duplicates;
        CHECK_FALSE(validate(options));
    }
}

TEST_CASE("ids of two indexers do not meet") {
    bulkhead::detail::ClientIds a;
    bulkhead::detail::ClientIds b;
    bulkhead::detail::ClientIds::Room room;
    std::set<std::string> seen;
    for (int i = 0; i < 1000; ++i) {
        seen.insert(std::string{a.next(room)});
        seen.insert(std::string{b.next(room)});
    }
    CHECK(seen.size() == 2000);
    CHECK(seen.begin()->size() <= 32);
}

TEST_CASE("the retry budget: earned by what is proven, spent by what is repeated") {
    RetryBudget budget{20, 100};
    CHECK_FALSE(budget.used_up());
    budget.spend(100);
    CHECK(budget.used_up());
    budget.earn(4);
    CHECK_FALSE(budget.used_up());
    budget.spend(1);
    CHECK(budget.used_up());
    budget.earn(1'000'000);
    budget.spend(99);
    CHECK_FALSE(budget.used_up());
    budget.spend(1);
    CHECK(budget.used_up());
    budget.spend(1'000'000);
    budget.earn(5);
    CHECK_FALSE(budget.used_up());
    CHECK(RetryBudget{0, 0}.used_up());
}

TEST_CASE("while the retry budget is used up, one request at a time repeats, and what is new goes on", "[F082][F083]") {
    // No interval: nothing of these is merged.
    Bench b{{.max_batch_operations = 2,
             .flush_interval = 1ms,
             .max_in_flight = 8,
             .retry = {.initial_backoff = 1ms, .max_backoff = 1ms, .budget_percent = 0}}};
    std::size_t repeating = 0;
    std::size_t most_repeating = 0;
    std::size_t fresh = 0;
    b.script->respond = [&](const test::SeenRequest& request) -> std::optional<Answer> {
        if (request.attempt > 1) {
            most_repeating = std::max(most_repeating, ++repeating);
            return std::nullopt;
        }
        ++fresh;
        std::vector<std::string> items(request.operations, item(201));
        items[0] = item(425, "too_early_exception");
        return Answer::items(items);
    };
    for (std::uint64_t key = 0; key < 200; ++key) {
        b.put(key);
        b.run_for(2ms, 1ms);
        if (key == 50) most_repeating = repeating; // what it began with is spent
        if (key % 10 != 9) continue;
        for (const auto position : b.script->waiting()) {
            --repeating;
            b.script->answer(position, Answer::ok(b.script->requests()[position].operations));
        }
        b.run();
    }
    CHECK(fresh >= 100);
    CHECK(most_repeating == 1);
    for (int i = 0; i < 1000 && b.stats().pending != 0; ++i) {
        b.script->answer_all_ok();
        repeating = 0;
        b.run_for(2ms, 1ms);
    }
    CHECK(b.count(Outcome::indexed) == 200);
}

TEST_CASE("survivors of several bulks travel again together, with their own attempts", "[F074]") {
    Bench b{{.max_batch_operations = 10,
             .max_in_flight = 4,
             .retry = {.max_attempts = 3, .initial_backoff = 100ms, .max_backoff = 100ms}}};
    b.put_many(0, 40);
    b.run();
    REQUIRE(b.script->requests().size() == 4);
    for (std::size_t i = 0; i < 4; ++i) {
        std::vector<std::string> items(10, item(201));
        items[i] = items[9] = item(425, "too_early_exception");
        b.script->answer(i, Answer::items(items));
    }
    b.run();
    CHECK(b.count(Outcome::indexed) == 32);
    b.run_for(150ms, 150ms);
    REQUIRE(b.script->requests().size() == 5);
    CHECK(b.script->requests()[4].operations == 8);
    std::vector<std::string> items(8, item(201));
    items[3] = item(425, "too_early_exception");
    b.script->answer(4, Answer::items(items));
    b.run_for(200ms, 10ms);
    REQUIRE(b.script->requests().size() == 6);
    CHECK(b.script->requests()[5].operations == 1);
    b.script->answer(5, Answer::items({item(425, "too_early_exception")}));
    b.run();
    CHECK(b.count(Outcome::indexed) == 39);
    REQUIRE(b.count(Outcome::rejected) == 1);
    CHECK(b.told.back().attempts == 3);
    CHECK(b.books_balance());
    CHECK(b.stats().buffered_bytes <= 64U << 20U);
}

TEST_CASE("what a flush waits for is not merged with what came after it", "[F110]") {
    Bench b{{.retry = {.initial_backoff = 100ms, .max_backoff = 100ms}}};
    const auto busy = Answer::items({item(503, "unavailable_shards_exception"), item(201)});
    b.put_many(0, 2);
    std::optional<error_code> flushed;
    b.indexer->async_flush(1h, [&](error_code error) { flushed = error; });
    b.run();
    b.put_many(2, 2);
    b.flush();
    b.script->answer(0, busy);
    b.script->answer(1, busy);
    b.run();
    b.run_for(150ms, 150ms);
    REQUIRE(b.script->requests().size() == 4);
    b.script->answer(2, Answer::ok(1));
    b.run();
    CHECK(flushed == error_code{});
    CHECK(b.stats().pending == 1);
}

TEST_CASE("limits change while it runs") {
    Bench b{{.max_batch_operations = 10, .max_in_flight = 4}};
    const auto wrong = b.indexer->change_limits({.max_batch_operations = 0, .max_in_flight = 1});
    REQUIRE(wrong);
    CHECK(wrong->field == "max_batch_operations");
    CHECK(b.indexer->change_limits({.min_in_flight = 5})); // above the maximum
    b.put_many(0, 100);
    b.run();
    CHECK(b.stats().in_flight == 4);
    REQUIRE_FALSE(b.indexer->change_limits({.max_in_flight = 1}));
    b.run();
    for (int i = 0; i < 3; ++i) {
        b.script->answer(b.script->waiting().front(), Answer::ok(10));
        b.run();
    }
    CHECK(b.stats().in_flight == 1);
    CHECK(b.script->requests().size() == 4);
    REQUIRE_FALSE(b.indexer->change_limits({.max_batch_operations = 3, .max_in_flight = 6, .min_in_flight = 2}));
    b.run();
    CHECK(b.stats().in_flight == 6);
    CHECK(b.stats().in_flight_limit == 6);
    b.put_many(100, 3);
    b.run();
    while (!b.script->waiting().empty()) {
        b.script->answer_all_ok();
        b.run();
    }
    CHECK(b.script->requests().back().operations == 3);
    REQUIRE_FALSE(b.indexer->change_limits({.flush_interval = 50ms, .max_buffered_operations = 2}));
    b.put(200);
    b.put(201);
    CHECK(b.put(202) == Admission::full);
    b.run_for(60ms, 10ms);
    CHECK(b.script->requests().back().operations == 2);
    REQUIRE_FALSE(b.indexer->change_limits({.max_batch_bytes = 1024, .max_buffered_operations = 1000}));
    b.run();
    CHECK(b.stats().batch_bytes_limit == 1024);
    REQUIRE_FALSE(b.indexer->change_limits({.max_batch_bytes = 1 << 20}));
    b.run();
    CHECK(b.stats().batch_bytes_limit == 1 << 20);
    b.script->answer_all_ok();
    b.run();
    CHECK(b.stats().pending == 0);
    CHECK(b.books_balance());
}

TEST_CASE("a close hands back what is certainly not applied, byte for byte", "[F115]") {
    Bench b{{.max_batch_operations = 2, .max_in_flight = 1}};
    b.put(0);
    b.put(1);
    b.run();
    b.script->answer(0, Answer::items({item(429, "es_rejected_execution_exception"), item(201)}));
    b.run();
    b.put(2, {.id = "two"}); // one batch: with an id it may be repeated after an answer was lost
    b.put(3);
    b.run();
    b.script->answer(1, Answer::lost(Sent::partial));
    b.run();
    CHECK(b.count(Outcome::unknown) == 1); // 3
    b.put(4);
    b.put(5);
    b.put(6);
    b.run();
    std::optional<CloseReport> report;
    std::optional<CloseReport> second;
    b.indexer->async_close(0s, [&](error_code, CloseReport r) { report = std::move(r); });
    b.indexer->async_close(0s, [&](error_code, CloseReport r) { second = std::move(r); });
    b.run();
    REQUIRE(report);
    REQUIRE(second);
    CHECK(report->undelivered == second->undelivered);
    std::string back;
    std::size_t operations = 0;
    for (const auto& batch : report->undelivered) {
        back += batch->body();
        operations += batch->operations();
    }
    CHECK(b.count(Outcome::undelivered) == operations);
    CHECK(report->stats.undelivered == operations);
    CHECK(b.count(Outcome::unknown) == 2); // 2 and 3
    const std::string line = "{\"index\":{\"_index\":\"logs\"}}\n";
    CHECK(back == line + "{\"n\":0}\n" + line + "{\"n\":4}\n" + line + "{\"n\":5}\n" + line + "{\"n\":6}\n");
    CHECK(b.stats().buffered_bytes == 0);

    Bench other; // and another indexer takes them
    for (const auto& batch : report->undelivered) other.indexer->enqueue(*batch);
    other.flush();
    CHECK(other.script->requests()[0].body == back);
}

TEST_CASE("in a bulk of which a part may be applied, a close hands back the other part", "[F115]") {
    Bench b{{.retry = {.initial_backoff = 10s, .max_backoff = 10s}, .duplicates = Duplicates::allow}};
    b.put(0, {.id = "zero"});
    b.flush();
    b.script->answer(0, Answer::lost(Sent::complete));
    b.run();
    b.put(1, {.id = "one"});
    b.flush();
    std::optional<CloseReport> report;
    b.indexer->async_close(0s, [&](error_code, CloseReport r) { report = std::move(r); });
    b.run();
    REQUIRE(report);
    REQUIRE(report->undelivered.size() == 1);
    CHECK(report->undelivered[0]->body() == "{\"index\":{\"_index\":\"logs\",\"_id\":\"one\"}}\n{\"n\":1}\n");
    CHECK(b.count(Outcome::unknown) == 1);
    CHECK(b.count(Outcome::undelivered) == 1);
}

namespace {

/// Answers success when it is let go, and remembers nothing.
struct GatedTransport {
    struct Gate {
        std::vector<std::shared_ptr<asio::steady_timer>> waiting;
        void open() {
            for (auto& timer : waiting) timer->cancel();
            waiting.clear();
        }
    };
    std::shared_ptr<Gate> gate;
    asio::awaitable<Reply> send(Request request, AnswerSink& sink) {
        const auto executor = co_await asio::this_coro::executor;
        const auto timer = std::make_shared<asio::steady_timer>(executor, asio::steady_timer::time_point::max());
        gate->waiting.push_back(timer);
        error_code ignored;
        co_await timer->async_wait(asio::redirect_error(asio::use_awaitable, ignored));
        auto answer = Answer::ok(request.operations);
        (void)sink.on_body(answer.body);
        co_return answer.reply;
    }
    void shutdown() noexcept {}
};

} // namespace

TEST_CASE("after a burst the memory of requests in flight is given back") {
    asio::io_context context;
    const auto gate = std::make_shared<GatedTransport::Gate>();
    BulkIndexer<GatedTransport, ManualClock> indexer{
        context.get_executor(), GatedTransport{gate},
        IndexerOptions{.index = "logs", .max_batch_operations = 2000, .max_in_flight = 64}};
    const auto round = [&](std::size_t operations) {
        for (std::size_t i = 0; i < operations; ++i) indexer.enqueue({.source = "{}"});
        indexer.flush();
        while (indexer.stats().pending != 0) {
            test::run_ready(context);
            gate->open();
        }
        test::run_ready(context);
    };
    round(2000);
    const auto before = bulkhead_test::bytes_in_use();
    round(64 * 2000); // 64 bulks in flight at once: 8 bytes an operation is a megabyte
    CHECK(bulkhead_test::bytes_in_use() < before + 300'000);
    const auto once = bulkhead_test::bytes_in_use();
    for (int i = 0; i < 5; ++i) round(64 * 2000);
    CHECK(bulkhead_test::bytes_in_use() < once + 100'000);
}

TEST_CASE("who changes the limits all the time does not fill the strand", "[F102]") {
    Bench b;
    b.run();
    for (std::size_t i = 1; i <= 1000; ++i) REQUIRE_FALSE(b.indexer->change_limits({.max_in_flight = i}));
    b.context.restart();
    CHECK(b.context.poll() <= 4);
    CHECK(b.stats().in_flight_limit <= 1000);
    CHECK(b.indexer->change_limits({.max_in_flight = 2000}));
}

TEST_CASE("nothing is dropped for an operation that finds no room all the same", "[F094]") {
    Bench b{{.max_batch_operations = 10,
             .max_in_flight = 1,
             .max_buffered_operations = 100,
             .overflow = Overflow::drop_oldest}};
    b.put_many(0, 10);
    b.flush(); // in flight: these are never dropped
    b.put_many(10, 50);
    b.run();
    bulkhead::Batch scratch;
    for (int i = 0; i < 95; ++i) REQUIRE(!scratch.append({.source = "{}"}, "logs"));
    CHECK(b.indexer->try_enqueue(scratch) == Admission::full); // 10 + 95: too many
    b.run();
    CHECK(b.stats().dropped == 0);
    scratch.clear();
    for (int i = 0; i < 85; ++i) REQUIRE(!scratch.append({.source = "{}"}, "logs"));
    CHECK(b.indexer->try_enqueue(scratch) == Admission::accepted);
    CHECK(b.stats().dropped == 50);
}

TEST_CASE("an operation that waits for room takes its own bytes, and no more") {
    bulkhead::Batch kept;
    CHECK(!bulkhead::detail::BatchAccess::append_alone(kept, {.source = R"({"a":1})"}, "logs"));
    CHECK(kept.operations() == 1);
    CHECK(bulkhead::detail::BatchAccess::encoded(kept).footprint() < 200);
    CHECK(bulkhead::detail::BatchAccess::append_alone(kept, {.source = "nothing"}, "logs"));
}

TEST_CASE("a thread that runs the indexer's context is known through any strands", "[F090]") {
    asio::io_context context;
    const asio::any_io_executor plain = context.get_executor();
    const asio::any_io_executor strand = asio::make_strand(plain);
    const asio::any_io_executor nested = asio::make_strand(strand);
    const asio::any_io_executor working =
        asio::require(context.get_executor(), asio::execution::outstanding_work.tracked);
    for (const auto& executor : {plain, strand, nested, working}) {
        const bulkhead::BulkIndexer<ScriptedTransport, ManualClock> indexer{
            executor, ScriptedTransport{std::make_shared<Script>()}, {.index = "logs"}};
        CHECK_FALSE(indexer.running_in_this_thread());
        bool inside = false;
        asio::post(context, [&] { inside = indexer.running_in_this_thread(); });
        test::run_ready(context);
        CHECK(inside);
    }
}

TEST_CASE("a large operation does not wait on an idle indexer, whatever small ones went before it", "[F202]") {
    Bench b{{.max_batch_operations = 10'000, .max_buffered_bytes = std::size_t{1} << 20}};
    b.script->respond = [](const test::SeenRequest& request) { return Answer::ok(request.operations); };
    REQUIRE(b.put_many(0, 1500));
    b.flush();
    REQUIRE(b.stats().pending == 0);
    const auto large = "{\"a\":\"" + std::string(960'000, 'x') + "\"}";
    CHECK(b.indexer->has_room(large.size() + 100));
    CHECK_FALSE(b.indexer->has_room(b.stats().buffered_bytes_limit));
    CHECK(b.indexer->try_enqueue({.source = large}) == Admission::accepted);
    CHECK_FALSE(b.indexer->has_room(large.size() + 100));
    b.flush();
    REQUIRE(b.put_many(1500, 1500));
    std::vector<Admission> ended;
    b.indexer->async_enqueue({.source = large}, [&](error_code, Admission how) { ended.push_back(how); });
    b.indexer->async_enqueue({.source = "{}"}, [&](error_code, Admission how) { ended.push_back(how); });
    b.run_for(3s);
    CHECK(ended == std::vector{Admission::accepted, Admission::accepted});
    CHECK(b.stats().indexed == 3003);
}
