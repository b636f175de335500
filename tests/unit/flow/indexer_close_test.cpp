// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"
#include "support/indexer_bench.hpp"

#include <boost/asio/bind_executor.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>

#include <functional>

using namespace bench;

// Close from every state, destruction at every step.

namespace {

struct State {
    const char* name;
    void (*prepare)(Bench&);
};

/// Every state that an indexer can be closed in. Each leaves the script without an automatic answer.
const State states[] = {
    {"empty", [](Bench&) {}},
    {"open", [](Bench& b) { b.put_many(0, 3); }},
    {"queued and in flight",
     [](Bench& b) {
         b.put_many(0, 50);
         b.run();
     }},
    {"an item in backoff",
     [](Bench& b) {
         b.put_many(0, 2);
         b.flush();
         b.script->answer(0, Answer::items({item(201), item(429, "es_rejected_execution_exception")}));
         b.run();
     }},
    {"paused, no connection",
     [](Bench& b) {
         b.put_many(0, 20);
         b.run();
         for (const auto i : b.script->waiting()) b.script->answer(i, Answer::unreachable());
         b.run();
     }},
    {"paused, unauthorized",
     [](Bench& b) {
         b.put_many(0, 20);
         b.run();
         for (const auto i : b.script->waiting()) b.script->answer(i, Answer::status(401));
         b.run();
     }},
    {"in backoff after an unanswered request",
     [](Bench& b) {
         b.put(0, {.id = "a"});
         b.put(1, {.id = "b"});
         b.flush();
         b.script->answer(0, Answer::lost(Sent::complete));
         b.run();
     }},
};

IndexerOptions small_batches() { return {.max_batch_operations = 10, .max_in_flight = 2}; }

} // namespace

TEST_CASE("close drains from every state when the server answers", "[F115]") {
    for (const auto& state : states) {
        CAPTURE(state.name);
        Bench b{small_batches()};
        state.prepare(b);
        std::optional<CloseReport> report;
        b.indexer->async_close(100s, [&](error_code, CloseReport r) { report = std::move(r); });
        b.script->respond = [](const test::SeenRequest& r) { return Answer::ok(r.operations); };
        b.script->answer_all_ok();
        b.run_for(90s, 50ms);
        REQUIRE(report);
        CHECK(report->drained);
        CHECK(report->stats.pending == 0);
        CHECK(report->stats.accepted == report->stats.settled());
        CHECK(report->stats.undelivered + report->stats.unknown == 0);
        CHECK(b.told.size() == report->stats.accepted);
        CHECK(report->stats.in_flight == 0);
        CHECK(report->stats.buffered_bytes == 0); // the spares are gone too
    }
}

TEST_CASE("close completes by its deadline from every state when nobody answers, and its report adds up",
          "[F115][F116][F117]") {
    for (const auto deadline : {ManualClock::duration{0}, ManualClock::duration{-1s}, ManualClock::duration{2s}}) {
        for (const bool deaf : {false, true}) {
            for (const auto& state : states) {
                CAPTURE(state.name, deaf, deadline.count());
                Bench b{small_batches()};
                b.script->deaf = deaf;
                state.prepare(b);
                const auto in_flight_before = b.stats().in_flight;
                std::optional<CloseReport> report;
                std::size_t told_at_close = 0;
                b.indexer->async_close(deadline, [&](error_code error, CloseReport r) {
                    CHECK_FALSE(error);
                    told_at_close = b.told.size();
                    report = std::move(r);
                });
                b.run_for(deadline);
                REQUIRE(report);
                CHECK(report->stats.pending == 0);
                CHECK(report->stats.accepted == report->stats.settled());
                CHECK(report->drained == (report->stats.undelivered + report->stats.unknown == 0));
                if (in_flight_before != 0) CHECK(report->stats.unknown > 0);
                CHECK(told_at_close == report->stats.accepted);
                CHECK(b.script->shutdowns() == 1);
                for (const auto& [key, times] : b.times_told()) CHECK(times == 1);
                // An answer that comes after all is nobody's.
                b.script->answer_all_ok();
                b.run_for(5s, 1s);
                CHECK(b.told.size() == told_at_close);
            }
        }
    }
}

TEST_CASE("what is given up says what was wrong with the endpoint") {
    Bench b;
    b.put(0);
    b.flush();
    b.script->answer(0, Answer::status(401, R"({"error":{"type":"security_exception","reason":"no such key"}})"));
    b.run();
    std::optional<CloseReport> report;
    b.indexer->async_close(0s, [&](error_code, CloseReport r) { report = std::move(r); });
    b.run();
    REQUIRE(report);
    CHECK(report->stats.health_detail == "http_401: security_exception");
    REQUIRE(b.told.size() == 1);
    CHECK(b.told[0].type == "closed");
    CHECK(b.told[0].reason == "http_401: security_exception");
}

TEST_CASE("after close nothing is accepted, and nothing is lost silently", "[F119]") {
    Bench b;
    b.indexer->async_close(1s, [](error_code, const CloseReport&) {});
    CHECK(b.put(1) == Admission::closed);
    b.run();
    CHECK(b.put(2) == Admission::closed);
    std::optional<Admission> waited;
    b.indexer->async_enqueue({.source = "{}"}, [&](error_code, Admission a) { waited = a; });
    error_code indexed;
    b.indexer->async_index({.source = "{}"}, [&](error_code e, const IndexResult&) { indexed = e; });
    error_code flushed = errc::full;
    b.indexer->async_flush(1s, [&](error_code e) { flushed = e; });
    b.run();
    CHECK(waited == Admission::closed);
    CHECK(indexed == error_code{errc::closed});
    CHECK_FALSE(flushed);
    CHECK(b.stats().refused_closed == 4);
    CHECK(b.books_balance());
}

TEST_CASE("close twice, and from an observer: every call completes, an earlier deadline counts", "[F118]") {
    Bench b;
    b.put(0);
    b.flush();
    int completed = 0;
    b.indexer->async_close(100s, [&](error_code, const CloseReport& r) { completed += r.stats.pending == 0 ? 1 : 0; });
    b.run_for(1s);
    CHECK(completed == 0);
    b.indexer->async_close(1s, [&](error_code, const CloseReport& r) { completed += r.stats.pending == 0 ? 1 : 0; });
    b.run_for(1s);
    CHECK(completed == 2);
    b.indexer->async_close(1s, [&](error_code, const CloseReport& r) { completed += r.stats.pending == 0 ? 1 : 0; });
    b.run();
    CHECK(completed == 3);

    Bench c;
    bool closed = false;
    const auto closer = c.indexer->subscribe(c.context.get_executor(), [&](std::span<const Settlement>) {
        c.indexer->async_close(0s, [&](error_code, const CloseReport&) { closed = true; });
    });
    REQUIRE(c.indexer->try_enqueue({.source = "{}"}, closer.ticket(1)) == Admission::accepted);
    c.script->respond = [](const test::SeenRequest& r) { return Answer::ok(r.operations); };
    c.flush();
    CHECK(closed);
}

TEST_CASE("close completes only after the observers of what it settled have returned", "[F122]") {
    Bench b;
    asio::io_context elsewhere;
    int told = 0;
    const auto slow = b.indexer->subscribe(elsewhere.get_executor(),
                                           [&](std::span<const Settlement> s) { told += static_cast<int>(s.size()); });
    REQUIRE(b.indexer->try_enqueue({.source = "{}"}, slow.ticket(1)) == Admission::accepted);
    b.script->respond = [](const test::SeenRequest& r) { return Answer::ok(r.operations); };
    bool closed = false;
    b.indexer->async_close(10s, [&](error_code, const CloseReport& r) { closed = r.drained; });
    b.run_for(1s);
    CHECK_FALSE(closed);
    test::run_ready(elsewhere);
    CHECK(told == 1);
    b.run();
    CHECK(closed);
}

TEST_CASE("an observer whose executor never runs does not keep close from its deadline", "[F117]") {
    Bench b;
    asio::io_context never;
    int told = 0;
    const auto subscription = b.indexer->subscribe(never.get_executor(), [&](std::span<const Settlement>) { ++told; });
    REQUIRE(b.indexer->try_enqueue({.source = "{}"}, subscription.ticket(1)) == Admission::accepted);
    b.script->respond = [](const test::SeenRequest& r) { return Answer::ok(r.operations); };
    std::optional<CloseReport> report;
    b.indexer->async_close(1s, [&](error_code, CloseReport r) { report = std::move(r); });
    b.run_for(1s);
    REQUIRE(report);
    CHECK(report->stats.indexed == 1);
    test::run_ready(never); // too late: whoever closed may have taken down what the observer refers to
    CHECK(told == 0);
    CHECK(b.stats().unobserved == 1);
}

TEST_CASE("waiting can be cancelled; the work goes on", "[F113]") {
    Bench b{{.max_buffered_operations = 1}};
    asio::cancellation_signal stop_flush;
    asio::cancellation_signal stop_room;
    asio::cancellation_signal stop_index;
    asio::cancellation_signal stop_close;
    std::vector<std::pair<std::string, error_code>> ended;
    const auto note = [&](const char* what) {
        return [&ended, what](error_code e, const auto&...) { ended.emplace_back(what, e); };
    };
    b.indexer->async_index({.source = "{}"}, asio::bind_cancellation_slot(stop_index.slot(), note("index")));
    b.indexer->async_flush(10s, asio::bind_cancellation_slot(stop_flush.slot(), note("flush")));
    b.indexer->async_enqueue({.source = "{}"}, asio::bind_cancellation_slot(stop_room.slot(), note("room")));
    b.run();
    CHECK(ended.empty());
    stop_flush.emit(asio::cancellation_type::terminal);
    stop_room.emit(asio::cancellation_type::total);
    stop_index.emit(asio::cancellation_type::partial);
    b.run();
    REQUIRE(ended.size() == 3);
    for (const auto& [what, error] : ended) CHECK(error == error_code{asio::error::operation_aborted});
    b.indexer->async_close(10s, asio::bind_cancellation_slot(stop_close.slot(), note("close")));
    b.run();
    stop_close.emit(asio::cancellation_type::terminal);
    b.run();
    REQUIRE(ended.size() == 4);
    CHECK(b.stats().pending == 1);
    b.script->answer_all_ok();
    b.run();
    CHECK(b.stats().indexed == 1);
    CHECK(b.script->shutdowns() == 1);
}

TEST_CASE("the destructor is a close with no time left: everything is settled and told", "[F118]") {
    for (const auto& state : states) {
        CAPTURE(state.name);
        Bench b{small_batches()};
        state.prepare(b);
        const auto accepted = b.stats().accepted;
        b.indexer.reset();
        b.run();
        CHECK(b.told.size() == accepted);
        for (const auto& [key, times] : b.times_told()) CHECK(times == 1);
    }
}

TEST_CASE("on a context that no longer runs nothing happens and nothing dangles", "[F111]") {
    for (const auto& state : states) {
        for (const bool handle_first : {false, true}) {
            CAPTURE(state.name, handle_first);
            auto b = std::make_unique<Bench>(small_batches());
            state.prepare(*b);
            bool called = false;
            b->indexer->async_flush(10s, [&](error_code) { called = true; });
            b->indexer->async_close(10s, [&](error_code, const CloseReport&) { called = true; });
            b->indexer->async_index({.source = "{}"}, [&](error_code, const IndexResult&) { called = true; });
            CHECK(b->stats().pending + b->told.size() == b->stats().accepted);
            if (handle_first) b->indexer.reset();
            b.reset(); // under the address sanitizer
            CHECK_FALSE(called);
        }
    }
}

TEST_CASE("destruction after every number of steps leaves nothing behind", "[F111]") {
    for (int steps = 0; steps < 60; ++steps) {
        CAPTURE(steps);
        Bench b{small_batches()};
        int answered = 0;
        b.script->respond = [&](const test::SeenRequest& r) -> std::optional<Answer> {
            switch (answered++ % 4) {
            case 0: return Answer::ok(r.operations);
            case 1: return Answer::status(400);
            case 2: return Answer::lost(Sent::complete);
            default: return std::nullopt;
            }
        };
        b.put_many(0, 45);
        b.indexer->async_flush(10s, [](error_code) {});
        b.context.restart();
        for (int i = 0; i < steps; ++i) {
            if (b.context.poll_one() == 0) ManualClock::advance(50ms);
            b.context.restart();
        }
        b.indexer.reset();
        b.run_for(1s, 100ms);
        CHECK(b.told.size() == 45);
        for (const auto& [key, times] : b.times_told()) CHECK(times == 1);
    }
}

TEST_CASE("who waits for a close may end everything in its handler, on an executor of his own", "[F111][F122]") {
    auto b = std::make_unique<Bench>();
    asio::io_context other;
    bool ended = false;
    b->put(1);
    b->indexer->async_close(0s, asio::bind_executor(other, [&](error_code, const CloseReport&) {
                                b.reset(); // the indexer, its transport and its context
                                ended = true;
                            }));
    b->run();
    other.run();
    CHECK(ended);
}

TEST_CASE("an observer's executor may run when the indexer and its context are gone", "[F111][F122]") {
    asio::io_context observing;
    int told = 0;
    Subscription subscription;
    {
        Bench b;
        subscription = b.indexer->subscribe(observing.get_executor(), [&told](std::span<const Settlement>) { ++told; });
        REQUIRE(b.indexer->try_enqueue({.source = "{}"}, subscription.ticket(1)) == Admission::accepted);
        b.indexer->async_close(0s, [](error_code, const CloseReport&) {});
        b.run();
    }
    observing.run();
    CHECK(told == 0); // the close had completed
}

TEST_CASE("what a close gives up is told before its deadline, also on other executors", "[F122]") {
    Bench b;
    asio::io_context observing;
    std::vector<Outcome> told;
    bool closed = false;
    const auto subscription =
        b.indexer->subscribe(observing.get_executor(), [&told](std::span<const Settlement> settlements) {
            for (const auto& one : settlements) told.push_back(one.outcome);
        });
    REQUIRE(b.indexer->try_enqueue({.source = "{}"}, subscription.ticket(1)) == Admission::accepted);
    b.indexer->async_close(5s, [&](error_code, const CloseReport& report) {
        closed = true;
        CHECK(report.stats.pending == 0);
        CHECK(report.stats.unobserved == 0);
    });
    b.run_for(4900ms);
    CHECK_FALSE(closed);
    CHECK(observing.poll() == 1);
    b.run();
    CHECK(closed); // at once, since all is told
    CHECK(told == std::vector<Outcome>{Outcome::unknown});
}

TEST_CASE("the longest of any unit means never, as a deadline", "[F118]") {
    const auto never = ManualClock::time_point::max();
    CHECK(Deadline<ManualClock>{std::chrono::hours::max()}.at() == never);
    CHECK(Deadline<ManualClock>{std::chrono::minutes::max()}.at() == never);
    CHECK(Deadline<ManualClock>{std::chrono::seconds::max()}.at() == never);
    CHECK(Deadline<ManualClock>{std::chrono::milliseconds::max()}.at() == never);
    CHECK(Deadline<ManualClock>{std::chrono::nanoseconds::max()}.at() == never);
    CHECK(Deadline<ManualClock>{std::chrono::hours::min()}.at() == ManualClock::now());
    CHECK(Deadline<ManualClock>{-1s}.at() == ManualClock::now());
    Bench b;
    b.put(0);
    bool closed = false;
    b.indexer->async_close(std::chrono::hours::max(), [&](error_code, const CloseReport&) { closed = true; });
    b.run();
    CHECK_FALSE(closed);
    b.script->answer_all_ok();
    b.run();
    CHECK(closed);
    CHECK(b.count(Outcome::indexed) == 1);
}

TEST_CASE("what a close hands back of one id is in its order", "[F119][F077]") {
    Bench b{{.max_in_flight = 2, .ordering = Ordering::per_id}};
    b.put(1, {.id = "a"}); // in flight
    b.flush();
    b.put(2, {.id = "a"}); // has been looked at, and waits for the first
    b.put(9, {.id = "b"}); // in flight
    b.flush();
    b.put(3, {.id = "a"}); // sealed
    b.indexer->flush();
    std::string handed_back;
    b.indexer->async_close(0ms, [&](error_code, const CloseReport& report) {
        for (const auto& batch : report.undelivered) handed_back += batch->body();
    });
    b.run();
    const auto second = handed_back.find("{\"n\":2}");
    const auto third = handed_back.find("{\"n\":3}");
    REQUIRE(second != std::string::npos);
    REQUIRE(third != std::string::npos);
    CHECK(second < third);
}

TEST_CASE("what grew too old and waits for the sink is handed back by a close, what may be applied is not", "[F304]") {
    for (const bool some_sent : {false, true}) {
        CAPTURE(some_sent);
        bool sink_works = true;
        Bench b{{.retry = {.initial_backoff = 5s, .max_backoff = 5s, .max_age = 20s}, .expired_to_sink = true},
                CallbackSink{[&](std::span<const DeadLetter>) {
                    return sink_works ? error_code{} : error_code{errc::sink_failed};
                }}};
        sink_works = false;
        b.script->respond = [&](const test::SeenRequest& request) -> std::optional<Answer> {
            const bool lost = some_sent && request.body.find("\"n\":0") != std::string::npos;
            return lost ? Answer::lost(Sent::complete) : Answer::unreachable();
        };
        b.put(0, {.id = "zero"});
        b.flush();
        b.put(1, {.id = "one"});
        b.flush();
        b.run_for(30s, 100ms);
        CHECK(b.stats().dead_letters_waiting == 2);
        std::optional<CloseReport> report;
        b.indexer->async_close(0s, [&](error_code, CloseReport r) { report = std::move(r); });
        b.run();
        REQUIRE(report);
        std::string handed_back;
        for (const auto& batch : report->undelivered) handed_back += batch->body();
        const std::string zero = "{\"index\":{\"_index\":\"logs\",\"_id\":\"zero\"}}\n{\"n\":0}\n";
        const std::string one = "{\"index\":{\"_index\":\"logs\",\"_id\":\"one\"}}\n{\"n\":1}\n";
        CHECK(handed_back.size() == (some_sent ? one.size() : zero.size() + one.size()));
        CHECK(handed_back.find(one) != std::string::npos);
        CHECK((handed_back.find(zero) != std::string::npos) == !some_sent);
        CHECK(b.count(Outcome::undelivered) == (some_sent ? 1U : 2U));
        CHECK(b.count(Outcome::unknown) == (some_sent ? 1U : 0U));
        CHECK(report->stats.buffered_bytes == 0);
        CHECK(b.books_balance());
    }
}

TEST_CASE("of letters of one bulk a close hands back those that are certainly not applied", "[F304]") {
    Bench b{{.retry = {.initial_backoff = 5s, .max_backoff = 5s, .max_age = 20s}, .expired_to_sink = true},
            CallbackSink{[](std::span<const DeadLetter>) { return error_code{errc::sink_failed}; }}};
    b.script->respond = [&](const test::SeenRequest&) -> std::optional<Answer> {
        return Answer::items(
            {test::item(500, "node_closed_exception"), test::item(503, "unavailable_shards_exception")});
    };
    b.put(0, {.id = "zero"});
    b.put(1, {.id = "one"});
    b.flush();
    b.run_for(30s, 100ms);
    CHECK(b.stats().dead_letters_waiting == 2);
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

/// Does something when it is destroyed, with the handler that holds it.
struct AtDestruction {
    explicit AtDestruction(std::function<void()> f) : action{std::move(f)} {}
    AtDestruction(const AtDestruction&) = delete;
    AtDestruction& operator=(const AtDestruction&) = delete;
    ~AtDestruction() { action(); }
    std::function<void()> action;
};

} // namespace

TEST_CASE("an observer that returns while the indexer's context ends without a close touches nothing of it", "[F307]") {
    const auto script = std::make_shared<Script>();
    script->respond = [](const test::SeenRequest& request) { return Answer::ok(request.operations); };
    asio::io_context other;
    int told = 0;
    {
        std::optional<asio::io_context> context{std::in_place};
        std::optional<BulkIndexer<ScriptedTransport, ManualClock>> indexer{
            std::in_place, context->get_executor(), ScriptedTransport{script}, IndexerOptions{.index = "logs"}};
        auto subscription = indexer->subscribe(other.get_executor(), [&](std::span<const Settlement>) { ++told; });
        CHECK(indexer->try_enqueue({.source = "{}"}, subscription.ticket(1)) == Admission::accepted);
        indexer->flush();
        test::run_ready(*context);
        // The observer's call is posted, and runs while the context destroys what was posted to it.
        asio::post(*context, [last = std::make_shared<AtDestruction>([&] { other.poll(); })] {});
        indexer.reset(); // its close is posted, and never runs
        context.reset();
        CHECK(told == 1);
    }
    script->respond = {};
    CHECK(script.use_count() == 1); // nothing that was posted too late keeps the indexer
}
