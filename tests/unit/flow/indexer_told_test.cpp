// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"
#include "support/indexer_bench.hpp"

#include <boost/asio/strand.hpp>

using namespace bench;

// How observers are called: what their calls hold, and what is counted when they cannot be called.

TEST_CASE("a call of one observer keeps neither another observer nor its executor", "[F186]") {
    Bench b;
    b.script->respond = [](const test::SeenRequest& r) { return Answer::ok(r.operations); };
    auto stopped = std::make_unique<asio::io_context>(); // it never runs
    asio::io_context slow;
    auto held = std::make_shared<int>(0);
    const std::weak_ptr<int> observer = held;
    auto first = b.indexer->subscribe(asio::make_strand(*stopped), [held](std::span<const Settlement>) {});
    held.reset();
    auto second = b.indexer->subscribe(slow.get_executor(), [](std::span<const Settlement>) {});
    REQUIRE(b.indexer->try_enqueue({.source = "{}"}, first.ticket(1)) == Admission::accepted);
    REQUIRE(b.indexer->try_enqueue({.source = "{}"}, second.ticket(2)) == Admission::accepted);
    bool closed = false;
    b.indexer->async_close(1s, [&](error_code, const CloseReport&) { closed = true; });
    b.run_for(2s);
    REQUIRE(closed);
    first.reset();
    second.reset();
    b.indexer.reset();
    b.run();
    stopped.reset();
    CHECK(observer.expired()); // although the second observer's call is still to come
    slow.poll();               // with AddressSanitizer: it touches nothing of the context that is gone
}

TEST_CASE("settlements that no executor delivered by the end of a close are counted as unobserved", "[F187]") {
    Bench b;
    b.script->respond = [](const test::SeenRequest& r) { return Answer::ok(r.operations); };
    asio::io_context never_runs;
    int calls = 0;
    auto subscription = b.indexer->subscribe(never_runs.get_executor(), [&](std::span<const Settlement>) { ++calls; });
    for (std::uint64_t i = 0; i < 10; ++i)
        REQUIRE(b.indexer->try_enqueue({.source = "{}"}, subscription.ticket(i)) == Admission::accepted);
    b.put_many(0, 3); // these have an observer that is called
    std::optional<CloseReport> report;
    b.indexer->async_close(5s, [&](error_code, CloseReport r) { report = std::move(r); });
    b.run_for(4s);
    CHECK(b.stats().unobserved == 0); // there is time left
    b.run_for(2s);
    REQUIRE(report);
    CHECK(report->stats.indexed == 13);
    CHECK(report->stats.unobserved == 10);
    never_runs.poll(); // a call that comes late changes nothing
    CHECK(calls == 0);
    CHECK(b.stats().unobserved == 10);
    CHECK(b.told.size() == 3);
}

TEST_CASE("a call of an observer that has begun when the close ends is not counted as unobserved", "[F187]") {
    Bench b;
    b.script->respond = [](const test::SeenRequest& r) { return Answer::ok(r.operations); };
    std::optional<CloseReport> report;
    std::size_t in_call = 0;
    asio::io_context own;
    auto subscription = b.indexer->subscribe(own.get_executor(), [&](std::span<const Settlement> settlements) {
        in_call += settlements.size();
        b.run_for(10s); // the close ends meanwhile
    });
    for (std::uint64_t i = 0; i < 4; ++i)
        REQUIRE(b.indexer->try_enqueue({.source = "{}"}, subscription.ticket(i)) == Admission::accepted);
    b.indexer->async_close(5s, [&](error_code, CloseReport r) { report = std::move(r); });
    b.run();
    own.poll();
    REQUIRE(report);
    CHECK(in_call == 4);
    CHECK(report->stats.unobserved == 0);
    CHECK(b.stats().unobserved == 0);
}
