// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"
#include "support/indexer_bench.hpp"

using namespace bench;

// What `Stats` says about times, ages and failures. Virtual time: the durations are exact.

TEST_CASE("times: from open to sent, from sent to answered, from open to settled", "[stats]") {
    Bench b{{.flush_interval = 1s}};
    b.put_many(0, 3);
    b.run();
    CHECK(b.stats().oldest_pending == 0ns);
    b.run_for(400ms);
    CHECK(b.stats().oldest_pending == 400ms);
    b.put(3);
    b.run_for(600ms);
    REQUIRE(b.script->requests().size() == 1);
    b.run_for(250ms);
    auto stats = b.stats();
    CHECK(stats.oldest_pending == 1250ms);
    CHECK(stats.queue_time.count() == 1);
    CHECK(stats.queue_time.max() == 1s);
    CHECK(stats.request_time.count() == 0);
    b.script->answer_all_ok();
    b.run();
    stats = b.stats();
    CHECK(stats.request_time.count() == 1);
    CHECK(stats.request_time.max() == 250ms);
    CHECK(stats.settle_time.count() == 4);
    CHECK(stats.settle_time.sum() == 4 * 1250ms);
    CHECK(stats.oldest_pending == 0ns);
}

TEST_CASE("a bulk that is sent again is queued once, and each of its requests takes its time", "[stats]") {
    Bench b;
    b.put(0);
    b.flush();
    b.run_for(100ms);
    b.script->answer(0, Answer::status(503));
    b.run();
    b.run_for(31s, 50ms);
    REQUIRE(b.script->requests().size() == 2);
    CHECK(b.stats().oldest_pending > 30s);
    b.script->answer_all_ok();
    b.run();
    const auto stats = b.stats();
    CHECK(stats.queue_time.count() == 1);
    CHECK(stats.request_time.count() == 2);
    CHECK(stats.settle_time.count() == 1);
    CHECK(stats.settle_time.max() > 30s);
}

TEST_CASE("when the oldest of several bulks that wait is settled, the next one's age is told", "[stats]") {
    Bench b{{.max_in_flight = 2, .min_in_flight = 2}};
    b.put(0);
    b.flush();
    b.run_for(100ms);
    b.put(1);
    b.flush();
    b.script->answer(0, Answer::items({item(429)}));
    b.run(); // the older one waits to be sent again
    b.script->answer(1, Answer::items({item(429)}));
    b.run();
    CHECK(b.stats().oldest_pending == 100ms);
    b.run_for(31s, 50ms);
    REQUIRE(b.script->requests().size() >= 3);
    const auto age = b.stats().oldest_pending;
    for (std::size_t i = 2; i < b.script->requests().size(); ++i) b.script->answer(i, Answer::items({item(201)}));
    b.run();
    if (b.stats().pending != 0) CHECK(b.stats().oldest_pending == age - 100ms);
}

TEST_CASE("about one call in 256 is measured", "[stats]") {
    Bench b{{.max_batch_operations = 10'000}};
    b.put_many(0, 1024);
    const auto measured = b.stats().append_time.count();
    CHECK(measured >= 4);
    CHECK(measured <= 5);
    Batch scratch;
    for (int i = 0; i < 1000; ++i) REQUIRE_FALSE(scratch.append({.index = "logs", .source = "{}"}));
    CHECK(b.indexer->try_enqueue(scratch, b.subscription.ticket(0)) == Admission::accepted);
    CHECK(b.indexer->try_enqueue(scratch, b.subscription.ticket(0)) == Admission::accepted);
    CHECK(b.stats().append_time.count() - measured >= 1);
}

TEST_CASE("failures are counted by class, requests and operations apart", "[stats]") {
    Bench b;
    b.put_many(0, 3);
    b.flush();
    b.script->answer(0, Answer::items({item(201), item(400, "document_parsing_exception"), item(503)}));
    b.run();
    auto stats = b.stats();
    CHECK(stats.operation_failures.of(FailureClass::client_error) == 1);
    CHECK(stats.operation_failures.of(FailureClass::server_error) == 1);
    CHECK(stats.operation_failures.total() == 2);
    CHECK(stats.request_failures.total() == 0);
    b.run_for(31s, 50ms);
    b.script->answer(1, Answer::status(401));
    b.run();
    b.run_for(61s, 50ms);
    b.script->answer(2, Answer::status(200, "nonsense"));
    b.run();
    stats = b.stats();
    CHECK(stats.request_failures.of(FailureClass::not_allowed) == 1);
    CHECK(stats.request_failures.of(FailureClass::malformed_answer) == 1);
    CHECK(stats.request_failures.total() == stats.failed_requests);
    CHECK(stats.operation_failures.total() == 2);
}

TEST_CASE("what drop_oldest gives up has its time counted too", "[stats]") {
    Bench b{{.max_batch_operations = 2,
             .max_in_flight = 1,
             .max_buffered_operations = 4,
             .overflow = Overflow::drop_oldest}};
    b.put_many(0, 4);
    b.run_for(50ms);
    b.put_many(4, 4);
    b.run();
    const auto stats = b.stats();
    CHECK(stats.dropped != 0);
    CHECK(stats.settle_time.count() == stats.settled());
    CHECK(stats.operation_failures.of(FailureClass::local) == stats.dropped);
}

TEST_CASE("a dead letter that its sink does not take has an age", "[stats]") {
    Bench b{{}, CallbackSink{[](std::span<const DeadLetter>) -> error_code { return errc::sink_failed; }}};
    b.put(0);
    b.flush();
    b.run_for(100ms);
    b.script->answer(0, Answer::items({item(400, "document_parsing_exception")}));
    b.run();
    b.run_for(2s, 50ms);
    const auto stats = b.stats();
    CHECK(stats.dead_letters_waiting == 1);
    CHECK(stats.oldest_dead_letter == 2100ms);
    CHECK(stats.oldest_pending == 2100ms);
    CHECK(stats.operation_failures.of(FailureClass::sink) >= 1);
}

TEST_CASE("the limit of the buffer is told, also when it is changed", "[stats]") {
    Bench b{{.max_batch_bytes = 100'000, .max_buffered_bytes = 1'000'000}};
    CHECK(b.stats().buffered_bytes_limit == 1'000'000);
    CHECK_FALSE(b.indexer->change_limits({.max_buffered_bytes = 2'000'000}));
    CHECK(b.stats().buffered_bytes_limit == 2'000'000);
}
