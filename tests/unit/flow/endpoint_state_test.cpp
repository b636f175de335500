// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"
#include "support/indexer_bench.hpp"

#include <bulkhead/detail/encode/request_target.hpp>
#include <bulkhead/detail/send/retry.hpp>

#include <functional>
#include <set>

using namespace bench;

namespace {

/// Answers each operation by itself, from its lines.
std::function<std::optional<Answer>(const test::SeenRequest&)>
by_operation(std::function<std::string(const std::string& action, const std::string& source)> answer) {
    return [answer](const test::SeenRequest& request) -> std::optional<Answer> {
        const auto all = lines(request.body);
        std::vector<std::string> items;
        for (std::size_t i = 0; i + 1 < all.size(); i += 2) items.push_back(answer(all[i], all[i + 1]));
        return Answer::items(items);
    };
}
bool names(const std::string& line, const std::string& what) { return line.find(what) != std::string::npos; }

/// A server that fails a whole request for a reason that depends on what it carries.
struct Fussy {
    std::set<std::string> store; ///< the lines that it has applied
    std::size_t failed = 0;
    std::size_t largest = 0; ///< of those that were taken, in operations

    std::optional<Answer> take(const test::SeenRequest& request, bool apply_first, bool fails, const Answer& failure) {
        const auto all = lines(request.body);
        if (apply_first || !fails)
            for (std::size_t i = 0; i + 1 < all.size(); i += 2) store.insert(all[i + 1]);
        if (fails) {
            ++failed;
            return failure;
        }
        largest = std::max(largest, request.operations);
        return Answer::ok(request.operations);
    }
};
std::string with_padding(std::uint64_t key, std::size_t bytes) {
    return "{\"n\":" + std::to_string(key) + ",\"t\":\"" + std::string(bytes, 'x') + "\"}";
}

} // namespace

TEST_CASE("a restart of a node that is reported item by item for minutes makes no dead letter and stops nothing",
          "[F174]") {
    for (const bool all : {true, false}) {
        for (const auto* type : {"unavailable_shards_exception", "node_closed_exception",
                                 "process_cluster_event_timeout_exception", "master_not_discovered_exception"}) {
            CAPTURE(all, type);
            Bench b{{.max_batch_operations = 10, .retry = {.max_age = unlimited}}};
            bool down = true;
            b.script->respond = by_operation([&](const std::string&, const std::string& source) {
                return down && (all || names(source, "0}")) ? item(503, type) : item(201);
            });
            for (std::uint64_t key = 0; key < 100; ++key) { // with ids: a node that closes may have applied them
                const auto id = std::to_string(key);
                REQUIRE(b.put(key, {.id = id}) == Admission::accepted);
            }
            b.run_for(20min, 500ms);
            CHECK(b.count(Outcome::rejected) == 0);
            CHECK(b.count(Outcome::indexed) == (all ? 0U : 90U));
            CHECK(b.stats().in_flight_limit == 4); // fewer requests at once do not bring a shard back
            down = false;
            b.run_for(31s, 100ms);
            CHECK(b.count(Outcome::indexed) == 100);
            for (const auto& one : b.told) CHECK(one.attempts == 1);
            CHECK(b.books_balance());
        }
    }
}

TEST_CASE("an operation that meets a fault of the server is given up after its attempts and its time, not before",
          "[F175]") {
    Bench b{{.retry = {.max_attempts = 3, .min_retry_time = 5min, .max_age = unlimited}}};
    b.put_many(0, 2);
    b.script->respond = by_operation([](const std::string&, const std::string& source) {
        return names(source, "\"n\":0") ? item(500, "illegal_state_exception") : item(201);
    });
    b.run_for(5min, 100ms);
    CHECK(b.count(Outcome::rejected) == 0);
    CHECK(b.script->requests().size() > 5);
    b.run_for(31s, 100ms);
    REQUIRE(b.count(Outcome::rejected) == 1);
    CHECK(b.told.back().attempts == b.script->requests().size());
    CHECK(b.count(Outcome::indexed) == 1);
}

TEST_CASE("the time of a fault begins with the first of it, not with an outage before", "[F175]") {
    Bench b{{.retry = {.max_attempts = 2, .min_retry_time = 5min, .max_age = unlimited}}};
    b.put(0);
    b.script->respond = [](const test::SeenRequest&) { return Answer::unreachable(); };
    b.run_for(30min, 1s);
    b.script->respond = [](const test::SeenRequest&) { return Answer::items({item(500, "illegal_state_exception")}); };
    b.run_for(4min, 100ms);
    CHECK(b.told.empty());
    b.run_for(2min, 100ms);
    CHECK(b.count(Outcome::rejected) == 1);
}

TEST_CASE("attempts end by count and time; one attempt is one, and max_age bounds the time", "[F175]") {
    const RetryOptions options{.max_attempts = 3, .min_retry_time = 5min, .max_age = unlimited};
    CHECK_FALSE(attempts_ended(options, 2, 1h));
    CHECK_FALSE(attempts_ended(options, 3, 5min - 1ns));
    CHECK(attempts_ended(options, 3, 5min));
    auto other = options;
    other.max_age = 1min;
    CHECK(attempts_ended(other, 3, 1min));
    other.max_attempts = 1;
    CHECK(attempts_ended(other, 1, 0ns));
    CHECK(validate(IndexerOptions{.index = "a", .retry = {.min_retry_time = -1ms}})->field == "retry.min_retry_time");
    CHECK(validate(IndexerOptions{.index = "a", .retry = {.max_blocked = 0ms}})->field == "retry.max_blocked");
}

TEST_CASE("a user's verdict for 429 holds, also when every item of a bulk has it", "[F176]") {
    for (const auto verdict : {Verdict::discard, Verdict::reject, Verdict::retry}) {
        Bench b{{.max_batch_operations = 4,
                 .retry = {.max_attempts = 2, .max_age = unlimited},
                 .verdicts = {{429, 429, "quota_exception", verdict}}}};
        b.script->respond =
            by_operation([](const std::string&, const std::string&) { return item(429, "quota_exception"); });
        REQUIRE(b.put_many(0, 8));
        b.run_for(60s, 50ms);
        CHECK(b.count(Outcome::rejected) == 8);
        CHECK(b.stats().pending == 0);
    }
}

TEST_CASE("the server's own wait is shorter than the client's, unless the user says otherwise", "[F177]") {
    CHECK(with_server_timeout({}, 60s).timeout == "15000ms");
    CHECK(with_server_timeout({}, 1h).timeout == "60000ms");
    CHECK(with_server_timeout({}, 1ms).timeout == "1ms");
    CHECK(with_server_timeout({.timeout = "1m"}, 60s).timeout == "1m");
    Bench b;
    b.put(0);
    b.flush();
    CHECK(names(b.script->requests().at(0).target, "&timeout=15000ms"));
}

TEST_CASE("what is blocked for longer than max_blocked is refused for good, and nothing else", "[F178]") {
    for (const bool alone : {false, true}) {
        CAPTURE(alone);
        Bench b{{.max_batch_operations = 10, .retry = {.max_age = unlimited, .max_blocked = 10min}}};
        b.script->respond = by_operation([](const std::string& action, const std::string&) {
            return names(action, "\"locked\"") ? item(403, "cluster_block_exception") : item(201);
        });
        for (std::uint64_t key = 0; key < 20; ++key) b.put(key, {.index = key % 2 == 0 || alone ? "locked" : "open"});
        b.run_for(9min, 500ms);
        CHECK(b.count(Outcome::rejected) == 0);
        b.run_for(2min, 500ms);
        CHECK(b.count(Outcome::rejected) == (alone ? 20U : 10U));
        CHECK(b.stats().pending == 0);
        for (const auto& one : b.told) CHECK((one.outcome == Outcome::rejected) == names(one.action_line, "locked"));
    }
}

TEST_CASE("without max_blocked an index that is read-only for a day loses nothing", "[F178]") {
    Bench b{{.retry = {.max_attempts = 1, .max_age = unlimited}}};
    bool locked = true;
    b.script->respond = by_operation([&](const std::string&, const std::string&) {
        return locked ? item(403, "cluster_block_exception") : item(201);
    });
    b.put(0);
    b.run_for(24h, 10s);
    CHECK(b.told.empty());
    locked = false;
    b.run_for(31s, 100ms);
    CHECK(b.count(Outcome::indexed) == 1);
}

TEST_CASE("health and events name the index that is blocked", "[F178]") {
    std::string heard;
    Bench b{{.max_batch_operations = 2, .retry = {.max_age = unlimited}, .on_event = [&](const IndexerEvent& event) {
                 heard += to_text(event) + "\n";
             }}};
    b.script->respond = by_operation([](const std::string& action, const std::string&) {
        return names(action, "\"locked\"") ? item(403, "cluster_block_exception") : item(201);
    });
    b.put(0, {.index = "locked"});
    b.put(1, {.index = "open"});
    b.run_for(2s);
    CHECK_THAT(heard, contains("locked"));
    b.put(2, {.index = "locked"});
    b.put(3, {.index = "locked"});
    b.run_for(100ms);
    CHECK(b.stats().health == Health::backing_off);
    CHECK_THAT(b.stats().health_detail, contains("cluster_block_exception: locked"));
}

TEST_CASE("a request that fails because of its size gets smaller until it passes, and everything is proven", "[F171]") {
    struct Failing {
        const char* what;
        bool applied; ///< although the answer does not say so
        std::function<bool(const test::SeenRequest&)> fails;
        std::function<Answer()> how;
    };
    const auto large = [](const test::SeenRequest& request) { return request.body.size() > 20'000; };
    const auto many = [](const test::SeenRequest& request) { return request.operations > 200; };
    const Failing all[] = {
        {"504 above 200 operations", true, many, [] { return Answer::status(504, "<html>"); }},
        {"429 of a circuit breaker", false, large, [] { return Answer::status(429, "{}"); }},
        {"503 of a proxy", false, large, [] { return Answer::status(503, "busy"); }},
        {"reset", false, large, [] { return Answer::lost(Sent::partial); }},
        {"time-out", true, many, [] { return Answer::lost(Sent::complete); }},
        {"408", true, many, [] { return Answer::status(408, ""); }},
        {"500", true, large, [] { return Answer::status(500, ""); }},
    };
    for (const auto& one : all) {
        for (const bool with_id : {true, false}) {
            CAPTURE(one.what, with_id);
            Bench b{{.max_batch_operations = 1000, .retry = {.max_age = unlimited}}};
            Fussy server;
            b.script->respond = [&](const test::SeenRequest& request) {
                return server.take(request, one.applied, one.fails(request), one.how());
            };
            std::uint64_t key = 0;
            for (int second = 0; second < 30; ++second) {
                for (int i = 0; i < 300; ++i, ++key) {
                    const auto id = std::to_string(key);
                    const auto source = with_padding(key, 20);
                    Operation op{.source = source};
                    if (with_id) op.id = id;
                    REQUIRE(b.put(key, op) == Admission::accepted);
                }
                b.run_for(1s);
            }
            b.run_for(60s);
            CHECK(b.stats().pending == 0);
            CHECK(b.stats().health == Health::ok);
            CHECK(server.failed < b.script->requests().size() / 2);
            if (with_id) CHECK(b.count(Outcome::indexed) + b.stats().superseded == key);
            // Without an id what was not answered is unknown; what came after the first failures is proven.
            CHECK(b.count(Outcome::unknown) <= (with_id ? 0U : key / 2));
            CHECK(b.books_balance());
        }
    }
}

TEST_CASE("an endpoint that answers nonsense for ever ends all that it was sent, whatever its number", "[F221]") {
    Bench b{{.max_batch_operations = 1000, .retry = {.max_age = unlimited}}};
    b.script->respond = [](const test::SeenRequest&) { return Answer::status(200, "<html>"); };
    for (std::uint64_t key = 0; key < 2000; ++key) {
        const auto id = std::to_string(key);
        REQUIRE(b.put(key, {.id = id}) == Admission::accepted);
    }
    b.run_for(20min, 100ms);
    CHECK(b.stats().pending == 0);
    CHECK(b.count(Outcome::unknown) == 2000);
    CHECK(b.script->requests().size() <= 32); // each bulk is parted once, to see whether a part is to blame
}

TEST_CASE("an outage costs no more requests than before, and the full size is back soon", "[F172]") {
    Bench b{{.max_batch_operations = 1000, .retry = {.max_age = unlimited}}};
    bool down = true;
    b.script->respond = [&](const test::SeenRequest& request) {
        return down ? Answer::status(503, "busy") : Answer::ok(request.operations);
    };
    for (std::uint64_t key = 0; key < 5000; ++key) REQUIRE(b.put(key) == Admission::accepted);
    b.run_for(1h, 100ms);
    CHECK(b.script->requests().size() < 3600 / 10); // a pause is 15 s on average
    const auto before = b.script->requests().size();
    down = false;
    b.run_for(31s, 100ms);
    CHECK(b.count(Outcome::indexed) == 5000);
    CHECK(b.script->requests().size() - before <= 24); // 10 to grow, 5 batches, and what was parted meanwhile
}

TEST_CASE("one document that can never pass is found among others, delays nobody, and ends", "[F179]") {
    constexpr unsigned items_429 = 1;
    for (const unsigned status : {429U, 503U, 504U, 0U, items_429}) {
        CAPTURE(status);
        Bench b{{.max_batch_operations = 100, .flush_interval = 100ms, .retry = {.max_age = unlimited}}};
        std::size_t wasted = 0;
        b.script->respond = [&](const test::SeenRequest& request) {
            if (!names(request.body, "\"n\":55,")) return Answer::ok(request.operations);
            ++wasted;
            if (status == items_429)
                return Answer::items({request.operations, item(429, "circuit_breaking_exception")});
            return status == 0 ? Answer::lost(Sent::partial) : Answer::status(status, "{}");
        };
        std::uint64_t key = 0;
        for (int second = 0; second < 900; ++second) {
            for (int i = 0; i < 60; ++i, ++key) {
                const auto id = std::to_string(key);
                const auto source = with_padding(key, 10);
                REQUIRE(b.put(key, {.id = id, .source = source}) == Admission::accepted);
            }
            b.run_for(1s, 50ms);
            if (second == 60) {
                CHECK(b.stats().pending <= 101);
                CHECK(b.count(Outcome::indexed) + 101 >= key);
            }
        }
        b.run_for(31s, 100ms);
        CHECK(b.stats().pending == 0);
        CHECK(b.count(Outcome::indexed) == key - 1);
        CHECK(b.count(status == 504 || status == 0 ? Outcome::unknown : Outcome::rejected) == 1);
        CHECK(wasted <= 60);
        CHECK(b.stats().in_flight_limit == 4);
    }
}

TEST_CASE("a lone operation is not charged while nothing else is taken", "[F179]") {
    for (const unsigned status : {429U, 503U, 504U}) {
        Bench b{{.retry = {.max_attempts = 2, .min_retry_time = 1s, .max_age = unlimited}}};
        b.put(0, {.id = "a"});
        b.script->respond = [&](const test::SeenRequest&) { return Answer::status(status, "{}"); };
        b.run_for(1h, 1s);
        CHECK(b.told.empty());
        b.script->respond = [](const test::SeenRequest& request) { return Answer::ok(request.operations); };
        b.run_for(31s, 100ms);
        REQUIRE(b.count(Outcome::indexed) == 1);
        CHECK(b.told[0].attempts == 1);
    }
}

TEST_CASE("overload by 429 with lucky requests does not collapse the throughput", "[F173]") {
    std::size_t total = 0;
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
        CAPTURE(seed);
        Jitter random{seed};
        Bench b{{.max_batch_operations = 100, .retry = {.max_age = unlimited}}};
        b.script->respond = [&](const test::SeenRequest& request) {
            return random() % 2 == 0 ? Answer::status(429, "{}") : Answer::ok(request.operations);
        };
        REQUIRE(b.put_many(0, 20'000));
        b.run_for(600s, 10ms);
        CHECK(b.count(Outcome::indexed) == 20'000);
        CHECK(b.script->requests().size() < 2400); // 400 when nothing is suspected; 20,000 one by one
        total += b.script->requests().size();
    }
    CHECK(total / 5 < 1000);
}

TEST_CASE("heavy overload takes neither the size of requests nor any operation", "[F173]") {
    for (const unsigned of_ten : {7U, 9U}) {
        CAPTURE(of_ten);
        Jitter random{of_ten};
        Bench b{{.max_batch_operations = 100, .retry = {.max_backoff = 1s, .max_age = unlimited}}};
        std::size_t taken = 0;
        b.script->respond = [&](const test::SeenRequest& request) {
            if (random() % 10 < of_ten) return Answer::status(429, "{}");
            ++taken;
            return Answer::ok(request.operations);
        };
        REQUIRE(b.put_many(0, 20'000));
        b.run_for(2h, 100ms);
        CHECK(b.count(Outcome::indexed) == 20'000);
        CHECK(taken < 20'000 / 10); // ten or more operations in each
    }
}

TEST_CASE("single operations outlive an overload of hours", "[F179]") {
    Jitter random{3};
    Bench b{{.max_batch_operations = 1, .retry = {.max_age = unlimited}}};
    bool busy = true;
    b.script->respond = [&](const test::SeenRequest& request) {
        return busy && random() % 10 < 8 ? Answer::status(429, "{}") : Answer::ok(request.operations);
    };
    for (std::uint64_t key = 0; key < 7200; ++key) {
        REQUIRE(b.put(key) == Admission::accepted);
        b.run_for(1s, 100ms);
    }
    busy = false;
    b.run_for(1h, 1s);
    CHECK(b.count(Outcome::rejected) == 0);
    CHECK(b.count(Outcome::indexed) == 7200);
}

TEST_CASE("one document that can never pass ends also when nothing else comes any more", "[F179]") {
    Bench b{{.max_batch_operations = 100, .flush_interval = 100ms, .retry = {.max_age = unlimited}}};
    b.script->respond = [&](const test::SeenRequest& request) {
        return names(request.body, "\"n\":55}") ? Answer::status(504, "{}") : Answer::ok(request.operations);
    };
    for (std::uint64_t key = 0; key < 3000; ++key) {
        const auto id = std::to_string(key);
        REQUIRE(b.put(key, {.id = id}) == Admission::accepted);
        b.run_for(10ms);
    }
    b.run_for(10min, 100ms);
    CHECK(b.stats().pending == 0);
    CHECK(b.count(Outcome::unknown) == 1);
}

TEST_CASE("an outage is no block, and a limit of centuries is none", "[F178]") {
    for (const std::chrono::milliseconds limit :
         {std::chrono::milliseconds{10min}, std::chrono::milliseconds{24h * 366 * 400}}) {
        Bench b{{.retry = {.max_age = unlimited, .max_blocked = limit}}};
        int state = 0;
        b.script->respond = [&](const test::SeenRequest& request) {
            if (state == 1) return Answer::unreachable();
            return state == 2 ? Answer::ok(request.operations) : Answer::items({item(429, "cluster_block_exception")});
        };
        b.put(0);
        b.run_for(1s);
        state = 1;
        b.run_for(20min, 100ms);
        state = 0;
        b.run_for(1min, 100ms);
        CHECK(b.told.empty());
        state = 2;
        b.run_for(31s, 100ms);
        CHECK(b.count(Outcome::indexed) == 1);
    }
}

TEST_CASE("what grows too old goes to the sink when the user says so", "[F180]") {
    std::vector<std::string> buried;
    for (const bool to_sink : {false, true}) {
        buried.clear();
        Bench b{{.retry = {.max_age = 60s}, .expired_to_sink = to_sink},
                CallbackSink{[&](std::span<const DeadLetter> letters) {
                    for (const auto& letter : letters)
                        buried.push_back(std::string{letter.type} + " " + std::string{letter.source});
                    return error_code{};
                }}};
        b.script->respond = [](const test::SeenRequest&) { return Answer::unreachable(); };
        b.put(7);
        b.run_for(2min, 100ms);
        CHECK(b.stats().pending == 0);
        CHECK(b.count(to_sink ? Outcome::dead_lettered : Outcome::undelivered) == 1);
        CHECK(buried.size() == (to_sink ? 1U : 0U));
        if (to_sink) CHECK(buried.at(0) == "too_old {\"n\":7}");
    }
}

TEST_CASE("a node that fails with an operation on its way leaves the effect unknown, as a lost answer does", "[F300]") {
    for (const auto* type : {"node_disconnected_exception", "node_closed_exception", "connect_transport_exception",
                             "receive_timeout_transport_exception"})
        for (const bool all : {true, false})
            for (const auto status : {500U, 503U}) {
                CAPTURE(type, all, status);
                Bench b{{.max_batch_operations = 5, .retry = {.max_age = unlimited}}};
                std::set<std::string> store;
                std::size_t applied_twice = 0;
                bool first = true;
                // The node fails after the shard has applied the operation, once.
                b.script->respond = [&](const test::SeenRequest& request) -> std::optional<Answer> {
                    const auto parts = lines(request.body);
                    std::vector<std::string> items;
                    for (std::size_t i = 0; i + 1 < parts.size(); i += 2) {
                        const bool creates = names(parts[i], "create");
                        const bool there = !store.insert(parts[i + 1]).second;
                        if (there && creates && names(parts[i], "_id")) {
                            items.push_back(item(409, "version_conflict_engine_exception"));
                            continue;
                        }
                        applied_twice += there && !names(parts[i], "_id") ? 1U : 0U;
                        const bool fails = first && (all || !names(parts[i + 1], "\"n\":2"));
                        items.push_back(fails ? item(status, type) : item(201));
                    }
                    first = false;
                    return Answer::items(items);
                };
                b.put(0, {.action = Action::create, .id = "a"});
                b.put(1); // without an id it cannot be sent again
                b.put(2, {.id = "c"});
                b.put(3, {.action = Action::create, .id = "d"});
                b.put(4, {.id = "e"});
                b.run_for(60s, 100ms);
                CHECK(b.stats().pending == 0);
                CHECK(b.count(Outcome::superseded) == 2); // each has met itself
                CHECK(b.count(Outcome::indexed) == 2);
                CHECK(b.count(Outcome::unknown) == 1);
                CHECK(applied_twice == 0);
                for (const auto& one : b.told)
                    if (one.outcome == Outcome::unknown) CHECK((one.key == 1 && one.type == type));
                CHECK(b.books_balance());
            }
}

TEST_CASE("what a node refused before it began is not taken for applied", "[F300]") {
    Bench b{{.max_batch_operations = 2, .retry = {.max_age = unlimited}}};
    bool first = true;
    b.script->respond = by_operation([&](const std::string&, const std::string&) {
        return first ? item(500, "unavailable_shards_exception") : item(409, "version_conflict_engine_exception");
    });
    b.put(0, {.action = Action::create, .id = "a"});
    b.put(1, {.action = Action::create, .id = "b"});
    b.run_for(1s, 10ms);
    first = false;
    b.run_for(60s, 100ms);
    CHECK(b.count(Outcome::rejected) == 2); // of another writer
    CHECK(perhaps_applied(500, "node_closed_exception"));
    CHECK_FALSE(perhaps_applied(429, "node_closed_exception"));
    CHECK_FALSE(perhaps_applied(500, "unavailable_shards_exception"));
}

TEST_CASE("one operation that makes every answer nonsense takes none of its neighbours with it", "[F301]") {
    for (const std::uint64_t culprit : {0U, 37U, 499U})
        for (const std::uint32_t attempts : {3U, 10U})
            for (const bool too_large : {false, true}) {
                CAPTURE(culprit, attempts, too_large);
                Bench b{{.max_batch_operations = 500, .retry = {.max_attempts = attempts, .max_age = unlimited}}};
                const auto bad = "{\"n\":" + std::to_string(culprit) + "}";
                b.script->respond = [&](const test::SeenRequest& request) -> std::optional<Answer> {
                    if (!names(request.body, bad)) return Answer::ok(request.operations);
                    auto answer = Answer::status(200, "<html>");
                    if (too_large) answer.reply.error = errc::answer_too_large;
                    return answer;
                };
                for (std::uint64_t key = 0; key < 500; ++key) {
                    const auto id = std::to_string(key);
                    REQUIRE(b.put(key, {.id = id}) == Admission::accepted);
                }
                b.run_for(20min, 100ms);
                CHECK(b.stats().pending == 0);
                CHECK(b.count(Outcome::indexed) == 499);
                CHECK(b.count(Outcome::unknown) == 1);
                for (const auto& one : b.told)
                    if (one.outcome == Outcome::unknown) CHECK(one.key == culprit);
                CHECK(b.script->requests().size() < 60);
                CHECK(b.books_balance());
            }
}

TEST_CASE("a bulk that meets 429 while others are taken shrinks the requests in flight, one operation does not",
          "[F302]") {
    for (const bool whole : {true, false})
        for (const std::size_t operations : {1U, 4U}) {
            CAPTURE(whole, operations);
            Bench b{{.max_batch_operations = operations, .max_in_flight = 8, .retry = {.max_age = unlimited}}};
            std::size_t refusals = 0;
            std::size_t limit_before = 0;
            Health health_before{};
            std::size_t carried = 0;
            b.script->respond = [&](const test::SeenRequest& request) -> std::optional<Answer> {
                if (!names(request.body, "\"n\":0}")) return Answer::ok(request.operations);
                limit_before = b.stats().in_flight_limit;
                health_before = b.stats().health;
                carried = request.operations;
                ++refusals;
                if (whole) return Answer::status(429);
                return Answer::items(std::vector<std::string>(request.operations, item(429, "es_rejected")));
            };
            std::uint64_t key = 0;
            std::size_t blamed = 0;
            while (blamed < 2) { // the bulk is to blame: it has failed before, and others are taken
                const auto before = refusals;
                if (b.stats().pending <= operations) {
                    REQUIRE(b.put_many(key, operations));
                    key += operations;
                    b.flush();
                }
                b.run_for(5ms, 5ms);
                REQUIRE(key < 100'000);
                if (refusals == before || before == 0 || health_before != Health::ok) continue;
                ++blamed;
                CHECK(b.stats().health == Health::ok); // nobody else was paused
                if (carried == 1) {
                    CHECK(b.stats().in_flight_limit >= limit_before);
                } else {
                    CHECK(b.stats().in_flight_limit == std::max<std::size_t>(limit_before / 2, 1));
                }
                b.run_for(1s, 10ms);
            }
        }
}

TEST_CASE("the count of what is not allowed follows the last answer, also when that is one for the whole request",
          "[F303]") {
    for (const auto& next : {Answer::status(429), Answer::status(503)}) {
        Bench b{{.max_batch_operations = 2, .retry = {.max_age = unlimited}}};
        int requests = 0;
        b.script->respond = [&](const test::SeenRequest& request) -> std::optional<Answer> {
            if (++requests > 1) return next;
            return Answer::items(std::vector<std::string>(request.operations, item(403, "security_exception")));
        };
        REQUIRE(b.put_many(0, 2));
        b.run_for(10ms, 5ms);
        CHECK(b.stats().waiting_for_environment == 2);
        b.run_for(60s, 100ms);
        CHECK(b.stats().waiting_for_environment == 0);
        CHECK(b.stats().pending == 2);
    }
    // Of a bulk that is refused as one for two reasons, only what is not allowed counts.
    Bench b{{.max_batch_operations = 2, .retry = {.max_age = unlimited}}};
    b.script->respond = by_operation([](const std::string&, const std::string& source) {
        return names(source, "\"n\":0}") ? item(403, "security_exception") : item(503, "unavailable_shards_exception");
    });
    REQUIRE(b.put_many(0, 2));
    b.run_for(60s, 100ms);
    CHECK(b.stats().waiting_for_environment == 1);
}
