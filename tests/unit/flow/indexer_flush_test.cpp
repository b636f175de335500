// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"
#include "support/indexer_bench.hpp"

using namespace bench;

// Enqueue → append → seal → flush: when what travels.

TEST_CASE("a bulk is flushed when it is full by count, and enqueue never waits for it") {
    Bench b{{.max_batch_operations = 3}};
    REQUIRE(b.put_many(0, 7));
    b.run();
    REQUIRE(b.script->requests().size() == 2);
    CHECK(b.script->requests()[0].operations == 3);
    CHECK(b.script->requests()[0].body == "{\"index\":{\"_index\":\"logs\"}}\n{\"n\":0}\n"
                                          "{\"index\":{\"_index\":\"logs\"}}\n{\"n\":1}\n"
                                          "{\"index\":{\"_index\":\"logs\"}}\n{\"n\":2}\n");
    CHECK(b.stats().sealed_by_count == 2);
    CHECK(b.told.empty());
    b.script->answer_all_ok();
    b.run();
    CHECK(b.count(Outcome::indexed) == 6);
    CHECK(b.stats().pending == 1);
    CHECK(b.books_balance());
}

TEST_CASE("a lone operation is flushed after the interval, counted from the first one", "[F109]") {
    Bench b{{.flush_interval = 1000ms}};
    b.put(1);
    b.run_for(600ms);
    b.put(2);
    b.run_for(390ms);
    CHECK(b.script->requests().empty());
    b.run_for(10ms);
    REQUIRE(b.script->requests().size() == 1);
    CHECK(b.script->requests()[0].operations == 2);
    CHECK(b.stats().sealed_by_interval == 1);
}

TEST_CASE("a bulk is flushed before it would exceed the byte limit", "[F095]") {
    Bench b{{.max_batch_bytes = 1024}};
    const std::string source = "{\"text\":\"" + std::string(300, 'x') + "\"}";
    for (int i = 0; i < 7; ++i) b.put(1, {.source = source});
    b.flush();
    REQUIRE(b.script->requests().size() == 3);
    for (const auto& request : b.script->requests()) CHECK(request.body.size() <= 1024);
    CHECK(b.stats().sealed_by_bytes == 2);
}

TEST_CASE("an operation larger than a bulk travels alone; one larger than its own limit is refused", "[F094]") {
    Bench b{{.max_batch_bytes = 1024, .max_operation_bytes = 4096}};
    b.put(1);
    CHECK(b.put(2, {.source = "{\"t\":\"" + std::string(2000, 'x') + "\"}"}) == Admission::accepted);
    b.put(3);
    CHECK(b.put(4, {.source = "{\"t\":\"" + std::string(4096, 'x') + "\"}"}) == Admission::too_large);
    b.flush();
    REQUIRE(b.script->requests().size() == 3);
    CHECK(b.script->requests()[1].operations == 1);
    CHECK(b.stats().refused_too_large == 1);
}

TEST_CASE("no operations, no request", "[F098]") {
    Bench b;
    b.flush();
    b.run_for(5s, 100ms);
    CHECK(b.script->requests().empty());
    CHECK(b.stats().requests == 0);
}

TEST_CASE("no more requests are in flight than allowed, and the next follows a landing at once") {
    Bench b{{.max_batch_operations = 1, .max_in_flight = 2}};
    b.put_many(0, 5);
    b.run();
    CHECK(b.script->requests().size() == 2);
    b.script->answer(0, Answer::ok(1));
    b.run();
    CHECK(b.script->requests().size() == 3);
    CHECK(b.stats().in_flight == 2);
}

TEST_CASE("a scratch batch is taken as a whole or not at all") {
    Bench b{{.max_buffered_operations = 4}};
    Batch scratch;
    REQUIRE_FALSE(scratch.append({.index = "a", .source = "{}"}));
    REQUIRE_FALSE(scratch.append({.action = Action::delete_, .index = "a", .id = "1"}));
    REQUIRE_FALSE(scratch.append({.index = "a", .source = "{}"}));
    CHECK(b.indexer->try_enqueue(scratch, b.subscription.ticket(7)) == Admission::accepted);
    CHECK(b.indexer->try_enqueue(scratch, b.subscription.ticket(8)) == Admission::full);
    CHECK(b.stats().accepted == 3);
    CHECK(b.stats().refused_full == 3);
    b.flush();
    REQUIRE(b.script->requests().size() == 1);
    CHECK(b.script->requests()[0].body == std::string{scratch.body()});
    b.script->answer_all_ok();
    b.run();
    CHECK(b.times_told() == std::map<std::uint64_t, int>{{7, 3}});
}

TEST_CASE("what is malformed is refused and its neighbours travel", "[F087][F088][F089][F092][F099]") {
    Bench b;
    CHECK(b.put(1) == Admission::accepted);
    CHECK(b.put(2, {.source = "[1]"}) == Admission::invalid);
    CHECK(b.put(3, {.id = "", .source = "{}"}) == Admission::invalid);
    CHECK(b.put(4, {.index = "Upper", .source = "{}"}) == Admission::invalid);
    CHECK(b.put(5, {.id = "\xff", .source = "{}"}) == Admission::invalid);
    CHECK(b.put(6, {.action = Action::delete_}) == Admission::invalid);
    CHECK(b.put(7) == Admission::accepted);
    b.flush();
    CHECK(lines(b.script->requests().at(0).body).size() == 4);
    CHECK(b.stats().refused_invalid == 5);
    REQUIRE(b.stats().failures.size() == 1);
    CHECK(b.stats().failures[0].type == "invalid_operation");
    CHECK(b.stats().failures[0].count == 5);
    CHECK(b.books_balance());
}

TEST_CASE("at the budget the new operation is refused, and nothing else changes", "[F100]") {
    Bench b{{.max_batch_operations = 10, .max_buffered_operations = 20}};
    REQUIRE(b.put_many(0, 20));
    CHECK(b.put(20) == Admission::full);
    b.run();
    CHECK(b.put(21) == Admission::full);
    b.script->answer_all_ok();
    b.run();
    CHECK(b.put(22) == Admission::accepted);
    CHECK(b.stats().refused_full == 2);
    CHECK(b.books_balance());
}

TEST_CASE("the byte budget holds at every step while the peer is dead, and everything goes out when it is back",
          "[F105][F106]") {
    Bench b{{.max_batch_operations = 50, .max_buffered_bytes = 64 * 1024, .retry = {.max_age = unlimited}}};
    b.script->respond = [](const test::SeenRequest&) { return Answer::unreachable(); };
    const std::string source = "{\"t\":\"" + std::string(200, 'x') + "\"}";
    std::uint64_t accepted = 0;
    std::uint64_t highest = 0;
    for (int second = 0; second < 600; ++second) {
        for (int i = 0; i < 20; ++i) accepted += b.put(accepted, {.source = source}) == Admission::accepted ? 1U : 0U;
        b.run_for(1s, 200ms);
        highest = std::max(highest, b.stats().buffered_bytes);
    }
    CHECK(b.stats().peak_buffered_bytes <= 64 * 1024);
    CHECK(highest <= 64 * 1024);
    CHECK(highest > 32 * 1024); // the budget is there to be used
    CHECK(accepted > 100);
    b.script->respond = [](const test::SeenRequest& r) { return Answer::ok(r.operations); };
    b.run_for(90s, 100ms);
    b.flush();
    CHECK(b.count(Outcome::indexed) == accepted);
    CHECK(b.stats().pending == 0);
    CHECK(b.books_balance());
}

TEST_CASE("a full budget with nothing on its way lets the open batch travel at once") {
    Bench b{{.max_batch_operations = 1000, .flush_interval = 1h, .max_buffered_operations = 5}};
    REQUIRE(b.put_many(0, 5));
    CHECK(b.put(5) == Admission::full);
    b.run();
    REQUIRE(b.script->requests().size() == 1);
    CHECK(b.script->requests()[0].operations == 5);
}

TEST_CASE("an operation that could never fit is too large, not full for ever", "[F101]") {
    Bench b{{.max_buffered_bytes = 64 * 1024}};
    CHECK(b.put(1, {.source = "{\"t\":\"" + std::string(65 * 1024, 'x') + "\"}"}) == Admission::too_large);
}

TEST_CASE("drop_oldest gives up the oldest batch that was never sent, as a whole, and says so") {
    Bench b{{.max_batch_operations = 10,
             .max_in_flight = 1,
             .max_buffered_operations = 30,
             .overflow = Overflow::drop_oldest}};
    REQUIRE(b.put_many(0, 30));
    b.run(); // 0–9 are in flight, 10–19 and 20–29 wait
    REQUIRE(b.put(30) == Admission::accepted);
    b.run();
    CHECK(b.count(Outcome::dropped) == 10);
    for (const auto& one : b.told) CHECK((one.key >= 10 && one.key < 20));
    CHECK(b.told.front().type == "overflow");
    CHECK(b.stats().dropped == 10);
    CHECK(b.books_balance());
    // What is in flight is never dropped.
    REQUIRE(b.put_many(31, 19));
    CHECK(b.stats().dropped == 20);
    b.script->respond = [](const test::SeenRequest& r) { return Answer::ok(r.operations); };
    b.script->answer_all_ok();
    b.flush();
    CHECK(b.count(Outcome::indexed) == 30);
    CHECK(b.stats().buffered_bytes <= b.stats().peak_buffered_bytes);
    for (const auto& [key, times] : b.times_told()) CHECK(times == 1);
}

TEST_CASE("options out of range are refused at construction, with field, limit and value") {
    try {
        Bench b{{.max_batch_operations = 0}};
        FAIL("accepted");
    } catch (const InvalidOption& error) {
        CHECK(error.error().field == "max_batch_operations");
        CHECK(std::string{error.what()} == "max_batch_operations: expected 1 to 1000000, found 0");
    }
}

TEST_CASE("a bulk with updates or deletes asks for the items' results, another does not") {
    Bench b;
    b.put(1);
    b.flush();
    b.put(2, {.action = Action::delete_, .id = "x"});
    b.flush();
    CHECK(b.script->requests().at(0).target.find("items.*.result") == std::string::npos);
    CHECK(b.script->requests().at(1).target.find("items.*.result") != std::string::npos);
}
