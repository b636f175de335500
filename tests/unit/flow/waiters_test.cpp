// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"
#include "support/indexer_bench.hpp"

#include <bulkhead/detail/wait/flush_waiters.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>

#include <limits>

using namespace bench;

// Who waits: for a flush, for room, for settlements of many subscriptions.

namespace {

/// A time whose comparisons are counted.
struct CountedTime {
    std::int64_t at = 0;
    static inline std::size_t comparisons = 0;
    static CountedTime max() { return {std::numeric_limits<std::int64_t>::max()}; }
    friend bool operator<(CountedTime a, CountedTime b) {
        ++comparisons;
        return a.at < b.at;
    }
    friend bool operator==(CountedTime a, CountedTime b) { return a.at == b.at; }
};
using CountedWaiters = detail::FlushWaiters<CountedTime, int>;

/// What it costs, in comparisons of times, that `count` flushes come, and each time all are looked at.
std::size_t comparisons_of(std::uint64_t count) {
    CountedWaiters waiters;
    CountedTime::comparisons = 0;
    for (std::uint64_t id = 1; id <= count; ++id) {
        waiters.add(CountedWaiters::Place{id, id, {1'000'000}, static_cast<int>(id)});
        if (waiters.take_drained(0) || waiters.take_overdue({5}) || waiters.earliest().at != 1'000'000) return 0;
    }
    for (std::uint64_t id = 1; id <= count; ++id)
        if (waiters.take_drained(id) != static_cast<int>(id)) return 0;
    return waiters.empty() ? CountedTime::comparisons : 0;
}

} // namespace

TEST_CASE("a flush waits for its epoch, its deadline or its cancellation, whichever comes first", "[F190]") {
    CountedWaiters waiters;
    CHECK(waiters.empty());
    CHECK(waiters.earliest() == CountedTime::max());
    CHECK_FALSE(waiters.take_any());
    waiters.add(CountedWaiters::Place{7, 3, {30}, 107});
    waiters.add(CountedWaiters::Place{8, 2, {20}, 108}); // another thread's: its epoch is the earlier one
    waiters.add(CountedWaiters::Place{9, 3, {10}, 109});
    CHECK(waiters.earliest().at == 10);
    CHECK_FALSE(waiters.take_drained(1));
    CHECK(waiters.take_drained(2) == 108);
    CHECK_FALSE(waiters.take_drained(2));
    CHECK_FALSE(waiters.take_overdue({9}));
    CHECK(waiters.take_overdue({10}) == 109);
    CHECK_FALSE(waiters.take_overdue({10}));
    CHECK_FALSE(waiters.take(8));
    CHECK(waiters.earliest().at == 30);
    CHECK(waiters.take(7) == 107);
    CHECK(waiters.empty());
    waiters.add(CountedWaiters::Place{10, 3, {10}, 110});
    CHECK(waiters.take_any() == 110);
    CHECK(waiters.empty());
}

TEST_CASE("a thousand flushes that wait cost what a thousand flushes cost, not their square", "[F190]") {
    const auto few = comparisons_of(1000);
    const auto many = comparisons_of(8000);
    REQUIRE(few != 0);
    CHECK(many < 8 * few * 2); // the logarithm grows as well
}

TEST_CASE("flushes that wait complete in the order of their epochs, each when its operations have ended", "[F190]") {
    Bench b{{.max_in_flight = 1000}};
    constexpr int count = 300;
    std::vector<int> done;
    for (int i = 0; i < count; ++i) {
        b.put(static_cast<std::uint64_t>(i));
        b.indexer->async_flush(1h, [&done, i](error_code error) { done.push_back(error ? -1 : i); });
    }
    b.run();
    CHECK(done.empty());
    REQUIRE(b.script->requests().size() == count);
    b.script->answer(1, Answer::ok(1)); // the second alone proves nothing about the first
    b.run();
    CHECK(done.empty());
    b.script->answer(0, Answer::ok(1));
    b.run();
    CHECK(done == std::vector<int>{0, 1});
    b.script->answer_all_ok();
    b.run();
    REQUIRE(done.size() == count);
    CHECK(std::is_sorted(done.begin(), done.end()));
}

TEST_CASE("a flush that is late, one that is cancelled by a close, and one in time", "[F190]") {
    Bench b;
    b.put(1);
    std::vector<error_code> ends;
    for (const auto deadline : {3s, 1s, 100s})
        b.indexer->async_flush(deadline, [&](error_code error) { ends.push_back(error); });
    b.run_for(1s);
    CHECK(ends == std::vector<error_code>{errc::deadline_exceeded});
    b.run_for(2s);
    CHECK(ends == std::vector<error_code>(2, errc::deadline_exceeded));
    b.indexer->async_close(0s, [](error_code, const CloseReport&) {});
    b.run();
    REQUIRE(ends.size() == 3);
    CHECK(ends[2] == errc::closed);
}

TEST_CASE("each of many subscriptions in one bulk is told its own, and a slot that is free is used again", "[F191]") {
    Bench b{{.max_batch_operations = 10'000}};
    constexpr std::size_t count = 300;
    std::vector<std::vector<std::uint64_t>> told(count);
    std::vector<Subscription> all;
    for (std::size_t i = 0; i < count; ++i)
        all.push_back(b.indexer->subscribe(b.context.get_executor(), [&told, i](std::span<const Settlement> some) {
            for (const auto& one : some) told[i].push_back(one.key);
        }));
    for (const auto round : {std::uint64_t{1}, std::uint64_t{2}})
        for (std::size_t i = 0; i < count; ++i)
            REQUIRE(b.indexer->try_enqueue({.source = "{}"}, all[i].ticket(1000 * round + i)) == Admission::accepted);
    const auto gone = all[7].ticket(7);
    all[7].reset();
    b.flush();
    b.script->answer_all_ok();
    b.run();
    CHECK(b.stats().unobserved == 2);
    for (std::size_t i = 0; i < count; ++i) {
        if (i == 7) continue;
        REQUIRE(told[i] == std::vector<std::uint64_t>{1000 + i, 2000 + i});
    }
    CHECK(told[7].empty());

    int calls = 0;
    const auto next = b.indexer->subscribe(b.context.get_executor(), [&](std::span<const Settlement>) { ++calls; });
    CHECK(next.ticket(0).slot == gone.slot);
    CHECK(next.ticket(0).generation != gone.generation);
    REQUIRE(b.indexer->try_enqueue({.source = "{}"}, gone) == Admission::accepted); // names nobody any more
    b.flush();
    b.script->answer_all_ok();
    b.run();
    CHECK(calls == 0);
    CHECK(b.stats().unobserved == 3);
}

TEST_CASE("a large operation that waits for room gets it beside producers that do not wait, and so do those behind it",
          "[F192]") {
    for (const auto overflow : {Overflow::refuse, Overflow::drop_oldest}) {
        for (const std::size_t large_bytes : {std::size_t{300'000}, std::size_t{900'000}}) {
            CAPTURE(large_bytes, overflow == Overflow::refuse);
            Bench b{{.max_batch_bytes = 65'536, .max_buffered_bytes = 1 << 20, .overflow = overflow}};
            const std::string small = R"({"a":")" + std::string(1000, 'x') + R"("})";
            const std::string large = R"({"a":")" + std::string(large_bytes, 'y') + R"("})";
            const auto produce = [&](int milliseconds) { // far more than the server takes
                for (int i = 0; i < milliseconds; ++i) {
                    for (int n = 0; n < 100; ++n) b.indexer->enqueue({.source = small});
                    b.run_for(1ms, 1ms);
                    if (i % 20 == 0) b.script->answer_all_ok();
                }
            };
            produce(200);
            if (overflow == Overflow::refuse) CHECK(b.stats().refused_full > 0);
            std::optional<Admission> first;
            std::optional<Admission> second;
            b.indexer->async_enqueue({.source = large}, [&](error_code, Admission admission) { first = admission; });
            b.indexer->async_enqueue({.source = "{}"}, [&](error_code, Admission admission) { second = admission; });
            produce(1000);
            CHECK(first == Admission::accepted);
            CHECK(second == Admission::accepted);
            const auto before = b.stats().accepted;
            produce(200);
            CHECK(b.stats().accepted > before + 100); // and the others go on
            CHECK(b.books_balance());
            CHECK(b.stats().peak_buffered_bytes <= 1 << 20);
        }
    }
}

TEST_CASE("room is no longer held back for an operation whose wait was cancelled", "[F192]") {
    Bench b{{.max_in_flight = 1, .max_buffered_bytes = 100'000}};
    const std::string large = R"({"a":")" + std::string(90'000, 'y') + R"("})";
    const std::string middle = R"({"a":")" + std::string(20'000, 'y') + R"("})";
    REQUIRE(b.indexer->try_enqueue({.source = middle}) == Admission::accepted);
    b.flush(); // in flight
    asio::cancellation_signal stop;
    std::optional<error_code> end;
    b.indexer->async_enqueue({.source = large}, asio::bind_cancellation_slot(
                                                    stop.slot(), [&](error_code error, Admission) { end = error; }));
    b.run();
    CHECK(b.indexer->try_enqueue({.source = middle}) == Admission::full);
    CHECK_FALSE(b.indexer->has_room(middle.size()));
    stop.emit(asio::cancellation_type::total);
    b.run();
    REQUIRE(end);
    CHECK(*end == asio::error::operation_aborted);
    CHECK(b.indexer->has_room(middle.size()));
    CHECK(b.indexer->try_enqueue({.source = middle}) == Admission::accepted);
}
