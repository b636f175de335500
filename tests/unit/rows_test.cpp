// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"
#include "support/indexer_bench.hpp"
#include "support/model_kafka.hpp"

#include <bulkhead/test/model_elasticsearch.hpp>

#include <boost/json/parse.hpp>

#include <algorithm>
#include <random>

using namespace bench;

// Rows of the catalogue of failures that no other file is about.

namespace {

/// The `n` of each document of a body.
std::vector<std::uint64_t> numbers(const std::string& body) {
    std::vector<std::uint64_t> found;
    for (const auto& line : lines(body))
        if (line.starts_with("{\"n\":")) found.push_back(std::stoull(line.substr(5)));
    return found;
}
/// A server that reads a bulk in pieces: it applies what comes before the operation `poison`, then answers 400.
Answer apply_up_to(test::ModelElasticsearch& server, const std::string& body, std::uint64_t poison) {
    const auto found = numbers(body);
    const auto at = std::find(found.begin(), found.end(), poison);
    test::BulkParameters parameters;
    parameters.most_operations = static_cast<std::size_t>(at - found.begin());
    auto answer = server.bulk(body, parameters);
    if (at == found.end()) return Answer::status(200, std::move(answer.body));
    return Answer::status(400, R"({"error":{"type":"illegal_argument_exception","reason":"line"},"status":400})");
}

} // namespace

TEST_CASE("a prefix was applied before the connection broke: nothing is there twice, nothing is reported and missing",
          "[F081]") {
    for (std::size_t applied = 0; applied <= 3; ++applied) {
        INFO(applied);
        Bench b;
        test::ModelElasticsearch server;
        REQUIRE(b.put(0, {.action = Action::create, .id = "a", .on_conflict = OnConflict::already_there}) ==
                Admission::accepted);
        REQUIRE(b.put(1) == Admission::accepted); // no id: it must not be sent again
        REQUIRE(b.put(2, {.id = "c"}) == Admission::accepted);
        b.flush();
        const auto first = b.script->requests()[0].body;
        test::BulkParameters crash;
        crash.most_operations = applied;
        (void)server.bulk(first, crash);
        b.script->respond = [&](const test::SeenRequest& request) -> std::optional<Answer> {
            return Answer::status(200, server.bulk(request.body).body);
        };
        b.script->answer(0, Answer::lost(Sent::partial));
        b.run_for(31s, 50ms);
        CHECK(b.stats().pending == 0);
        CHECK(b.count(Outcome::unknown) == 1);
        CHECK(b.count(Outcome::superseded) == (applied >= 1 ? 1U : 0U));
        CHECK(b.count(Outcome::indexed) == (applied >= 1 ? 1U : 2U));
        CHECK(server.source("logs", "a") == "{\"n\":0}");
        CHECK(server.source("logs", "c") == "{\"n\":2}");
        CHECK(server.count("logs") == (applied >= 2 ? 3U : 2U));
        CHECK(server.times_applied("logs", "a") == 1);
    }
}

TEST_CASE("a prefix was applied before a whole 400: each operation counts once, whatever of it was applied",
          "[F030][F081]") {
    constexpr std::uint64_t count = 1000;
    for (const std::uint64_t poison : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{637}, count - 1}) {
        INFO(poison);
        Bench b{{.max_in_flight = 1}};
        test::ModelElasticsearch server;
        b.script->respond = [&](const test::SeenRequest& r) { return apply_up_to(server, r.body, poison); };
        for (std::uint64_t key = 0; key < count; ++key) { // half of them would conflict with themselves
            const auto id = std::to_string(key);
            REQUIRE(b.put(key, {.action = key % 2 == 0 ? Action::create : Action::index,
                                .id = id,
                                .on_conflict = key % 4 == 0 ? OnConflict::already_there : OnConflict::reject}) ==
                    Admission::accepted);
        }
        b.run_for(2s, 50ms);
        const auto stats = b.stats();
        CHECK(stats.pending == 0);
        CHECK(stats.rejected == 1);
        CHECK(stats.indexed + stats.superseded + stats.unknown == count - 1);
        CHECK(b.script->requests().size() <= 21); // 2·log2(1000) + 1
        CHECK(server.count("logs") == count - 1);
        CHECK(b.told.size() == count);
        for (const auto& [key, times] : b.times_told()) CHECK(times == 1);
        for (const auto& one : b.told) {
            const auto id = std::to_string(one.key);
            if ((one.outcome == Outcome::rejected) != (one.key == poison)) FAIL("the wrong one: " << id);
            if (one.key != poison && server.source("logs", id) != "{\"n\":" + id + "}") FAIL("not there: " << id);
            // Whose document a create that must not meet one has met, nobody can say.
            if (one.outcome == Outcome::unknown && (one.key % 4 != 2 || one.key >= poison)) FAIL("not known: " << id);
            if (one.key % 2 == 0 && server.times_applied("logs", id) > 1) FAIL("created twice: " << id);
        }
        CHECK(b.books_balance());
    }
}

TEST_CASE("a prefix was applied before a whole 400: without ids what was in it is there twice, and told once",
          "[F081]") {
    Bench b{{.max_in_flight = 1}};
    test::ModelElasticsearch server;
    b.script->respond = [&](const test::SeenRequest& r) { return apply_up_to(server, r.body, 5); };
    b.put_many(0, 8);
    b.run_for(2s, 50ms);
    CHECK(b.count(Outcome::indexed) == 7);
    CHECK(b.count(Outcome::rejected) == 1);
    for (const auto& [key, times] : b.times_told()) CHECK(times == 1);
    // {0-7}: 0 to 4 applied; {0-3}; {4-7}: 4 applied; {4 5}: 4 again; {4}; {5}; {6 7}.
    CHECK(server.count("logs") == 7 + 5 + 1 + 1);
    CHECK(b.books_balance());
}

TEST_CASE("the attempts of each operation survive halving by 400 and 413, parting and merging", "[F074]") {
    const auto bad = item(425, "too_early_exception");
    SECTION("a bulk whose operations have been answered differently often") {
        Bench b;
        b.put_many(0, 4);
        b.flush();
        const auto block = item(403, "cluster_block_exception"); // charged to nobody
        b.script->answer(0, Answer::items({bad, bad, block, block}));
        b.run_for(31s, 50ms);
        REQUIRE(b.script->requests().size() == 2);
        SECTION("a whole 400") { b.script->answer(1, Answer::status(400)); }
        SECTION("a whole 413") { b.script->answer(1, Answer::status(413)); }
        b.run_for(1s);
        b.script->answer_all_ok();
        b.run_for(1s);
        b.script->answer_all_ok();
        b.run_for(1s);
        REQUIRE(b.count(Outcome::indexed) == 4);
        for (const auto& one : b.told) CHECK(one.attempts == (one.key < 2 ? 2U : 1U));
    }
    SECTION("whatever happens: told are as many attempts as the server has answered about it") {
        for (unsigned seed = 1; seed <= 100; ++seed) {
            INFO(seed);
            std::mt19937 random{seed};
            Bench b{{.max_batch_operations = 16,
                     .max_in_flight = 2,
                     .retry = {.max_attempts = 6, .initial_backoff = 1ms, .max_backoff = 20ms}}};
            std::map<std::uint64_t, std::uint32_t> answered;
            b.script->respond = [&](const test::SeenRequest& request) {
                const auto found = numbers(request.body);
                const auto dice = random() % 10;
                if (dice == 0 && found.size() > 1) return Answer::status(503); // a lone one is charged for it
                if (dice < 3 && found.size() > 1) return Answer::status(dice == 1 ? 400 : 413);
                std::vector<std::string> items;
                for (const auto n : found) {
                    ++answered[n];
                    items.push_back(random() % 3 == 0 ? bad : item(201));
                }
                return Answer::items(items);
            };
            std::uint64_t key = 0;
            for (int round = 0; round < 20; ++round) {
                REQUIRE(b.put_many(key, 10));
                key += 10;
                b.run_for(5ms, 1ms);
            }
            b.run_for(20s, 10ms);
            REQUIRE(b.stats().pending == 0);
            REQUIRE(b.told.size() == key);
            for (const auto& one : b.told) {
                if (one.attempts != answered[one.key]) FAIL(one.key << ": " << one.attempts);
                if (one.attempts > 6) FAIL(one.key << " too often");
                if (one.outcome != Outcome::indexed && one.attempts != 6) FAIL(one.key << " too early");
            }
        }
    }
}

TEST_CASE("what is new does not starve what is sent again, nor the other way round", "[F083]") {
    // One request at a time; the answers decide what there is more of than can ever be sent.
    Bench b{{.max_batch_operations = 2,
             .flush_interval = 1ms,
             .max_in_flight = 1,
             .retry = {.max_attempts = 1000, .initial_backoff = 1ms, .max_backoff = 1ms, .budget_percent = 10'000}}};
    const auto bad = item(503, "unavailable_shards_exception");
    std::map<std::uint64_t, std::size_t> first_sent;
    std::size_t longest = 0; // requests between two that carry the same operation
    std::map<std::uint64_t, std::size_t> last_sent;
    b.script->respond = [&](const test::SeenRequest& request) -> std::optional<Answer> {
        const auto now = b.script->requests().size();
        for (const auto n : numbers(request.body)) {
            first_sent.try_emplace(n, now);
            if (last_sent.count(n) != 0) longest = std::max(longest, now - last_sent[n]);
            last_sent[n] = now;
        }
        return std::nullopt; // answered one a millisecond
    };
    const auto answer = [&](bool refuse_old) {
        for (const auto position : b.script->waiting()) {
            std::vector<std::string> items;
            for (const auto n : numbers(b.script->requests()[position].body))
                items.push_back(refuse_old && n < 8 ? bad : item(201));
            b.script->answer(position, Answer::items(items));
        }
        b.run_for(1ms, 1ms);
    };
    SECTION("there is always something new") {
        b.put_many(0, 8);
        std::uint64_t key = 8;
        for (int i = 0; i < 2000; ++i) {
            while (key < 8 + 2 * static_cast<std::uint64_t>(i) + 100) b.put(key++); // the queue never empties
            answer(i < 1900);
        }
        CHECK(longest <= 20); // 4 bulks of old ones, each every other request, and some for the backoff
        CHECK(std::count_if(b.told.begin(), b.told.end(), [](const Told& one) { return one.key < 8; }) == 8);
    }
    SECTION("there is always something to send again") {
        b.put_many(0, 8);
        for (int i = 0; i < 100; ++i) answer(true);
        for (std::uint64_t key = 100; key < 200; ++key) {
            const auto before = b.script->requests().size();
            b.put(key);
            for (int i = 0; i < 8; ++i) answer(true);
            REQUIRE(first_sent.count(key) == 1);
            CHECK(first_sent[key] - before <= 4);
        }
        CHECK(b.count(Outcome::indexed) == 100);
    }
    for (int i = 0; i < 3000 && b.stats().pending != 0; ++i) answer(false);
    CHECK(b.stats().pending == 0);
    CHECK(b.books_balance());
}

TEST_CASE("a sink and an observer may enqueue, flush and look at the counters: no deadlock, no recursion", "[F103]") {
    // What the sink enqueues is refused in turn, at once, and so comes back to it.
    std::optional<Bench> bench;
    std::size_t depth = 0;
    std::size_t deepest = 0;
    std::size_t calls = 0;
    bench.emplace(IndexerOptions{.max_batch_operations = 1, .flood = {.percent = 0}},
                  CallbackSink{[&](std::span<const DeadLetter> letters) -> error_code {
                      deepest = std::max(deepest, ++depth);
                      ++calls;
                      for (const auto& letter : letters)
                          if (letter.ticket.key < 10'000) bench->put(letter.ticket.key + 1);
                      bench->indexer->flush();
                      CHECK(bench->stats().dead_letters_waiting >= letters.size());
                      --depth;
                      return {};
                  }});
    auto& b = *bench;
    b.script->respond = [](const test::SeenRequest& request) -> std::optional<Answer> {
        return Answer::items(std::vector<std::string>(request.operations, item(400, "document_parsing_exception")));
    };
    b.put(0);
    b.run_for(1s);
    CHECK(calls == 10'001);
    CHECK(deepest == 1);
    CHECK(b.count(Outcome::dead_lettered) == 10'001);
    CHECK(b.stats().pending == 0);
    CHECK(b.books_balance());
}

TEST_CASE(
    "every order in which count, interval, answers and the strand can meet: each operation in one bulk, told once",
    "[F108]") {
    // put, advance the clock to the interval, run the strand, answer: all 5,040 orders of these.
    std::string events = "aaclllppp";
    std::sort(events.begin(), events.end());
    std::size_t schedules = 0;
    std::optional<Bench> kept;
    do {
        ++schedules;
        kept.emplace(IndexerOptions{.max_batch_operations = 2, .flush_interval = 1s, .max_in_flight = 1});
        auto& b = *kept;
        std::uint64_t key = 0;
        for (const auto event : events) {
            switch (event) {
            case 'p': (void)b.put(key++); break;
            case 'c': ManualClock::advance(1s); break;
            case 'l': b.run(); break;
            default: b.script->answer_all_ok(); break; // completes when the strand runs
            }
        }
        for (int i = 0; i < 4; ++i) { // nothing but time and answers: no wake-up was lost
            b.run_for(1s, 1s);
            b.script->answer_all_ok();
        }
        b.run();
        std::vector<std::uint64_t> sent;
        for (const auto& request : b.script->requests()) {
            const auto found = numbers(request.body);
            sent.insert(sent.end(), found.begin(), found.end());
            if (request.operations > 2) FAIL(events << ": a bulk of " << request.operations);
        }
        if (sent != std::vector<std::uint64_t>{0, 1, 2}) FAIL(events << ": sent " << sent.size());
        if (b.told.size() != 3 || b.count(Outcome::indexed) != 3) FAIL(events << ": told " << b.told.size());
        if (b.stats().pending != 0) FAIL(events << ": pending");
    } while (std::next_permutation(events.begin(), events.end()));
    CHECK(schedules == 5040);
}

TEST_CASE("while the server says 401 consumption pauses and offsets stand still; they go on when it ends",
          "[F029][F157]") {
    using namespace bulkhead_test;
    for (const bool by_item : {false, true}) {
        INFO(by_item);
        Bench b{{.max_batch_operations = 5, .max_buffered_operations = 20, .retry = {.max_age = unlimited}}};
        ModelKafka kafka;
        auto& log = kafka.logs.emplace_back();
        for (std::int64_t offset = 0; offset < 200; ++offset) log.push_back({offset, Logged::Kind::one});
        ModelMember member{kafka};
        test::ModelElasticsearch server;
        bool revoked = false;
        b.script->respond = [&](const test::SeenRequest& request) -> std::optional<Answer> {
            if (revoked && by_item)
                return Answer::items(std::vector<std::string>(request.operations, item(403, "security_exception")));
            if (revoked) return Answer::status(401, R"({"error":{"type":"security_exception","reason":"revoked"}})");
            auto answer = server.bulk(request.body);
            for (std::int64_t offset = 0; offset < 200; ++offset)
                if (server.source("logs", document_id(0, offset, 0))) kafka.indexed.insert(document_id(0, offset, 0));
            return Answer::status(200, std::move(answer.body));
        };
        KafkaSource<Bench::Indexer, ModelMember, ModelMapper> source{*b.indexer, member, ModelMapper{}};
        member.own(0);
        source.assigned(ModelKafka::topic, 0);
        const auto poll_for = [&](std::chrono::seconds time) {
            for (auto left = time * 10; left.count() > 0; --left) { // ten times a second
                while (!member.owned().at(0).paused && member.next(0) != nullptr)
                    if (member.deliver_next(source, 0) != Delivered::taken) break;
                source.poll();
                member.commit_all();
                b.run_for(100ms, 10ms);
            }
        };
        for (int i = 0; i < 10; ++i) REQUIRE(member.deliver_next(source, 0) == Delivered::taken);
        b.run_for(2s);
        source.poll();
        member.commit_all();
        CHECK(kafka.committed.at(0) == 10);

        revoked = true;
        poll_for(std::chrono::minutes{10});
        CHECK(b.stats().health == Health::unauthorized);
        CHECK(member.owned().at(0).paused);
        CHECK(source.stats().consumed == 10 + 20 + 1); // what fits, and one that did not
        CHECK(kafka.committed.at(0) == 10);
        CHECK(source.stop_reason() == StopReason::none);
        CHECK(b.told.empty());

        revoked = false; // a new key
        poll_for(std::chrono::minutes{2});
        CHECK(b.stats().health == Health::ok);
        CHECK(kafka.committed.at(0) == 200);
        CHECK(server.count("logs") == 200);
        CHECK(server.times_applied("logs") == 200);
        CHECK(kafka.violations.empty());
    }
}

TEST_CASE("interval and count at the same instant: each operation is in one bulk, and none is forgotten", "[F108]") {
    Bench b{{.max_batch_operations = 3, .flush_interval = 1s, .max_in_flight = 1}};
    b.put_many(0, 2);
    b.run_for(999ms);
    ManualClock::advance(1ms); // the timer is due and has not run
    SECTION("the last one comes first") {
        b.put(2);
        b.run();
        REQUIRE(b.script->requests().size() == 1);
        CHECK(b.script->requests()[0].operations == 3);
    }
    SECTION("the timer comes first") {
        b.run();
        b.put(2);
        b.run();
        CHECK(b.script->requests()[0].operations == 2);
    }
    // The timer fires while the only request allowed is on its way: what it seals goes when that has landed.
    b.put(3);
    b.run_for(5s);
    CHECK(b.script->requests().size() == 1);
    while (!b.script->waiting().empty()) {
        b.script->answer_all_ok();
        b.run();
    }
    b.run_for(1s);
    b.script->answer_all_ok();
    b.run();
    CHECK(b.count(Outcome::indexed) == 4);
    for (const auto& [key, times] : b.times_told()) CHECK(times == 1);
    CHECK(b.stats().pending == 0);
}

TEST_CASE("survivors of a bulk travel again in their order, without what failed between them", "[F075]") {
    Bench b;
    b.put_many(0, 6);
    b.flush();
    const auto again = item(503, "unavailable_shards_exception");
    const auto never = item(400, "document_parsing_exception");
    b.script->answer(0, Answer::items({again, never, again, item(201), again, never}));
    b.run_for(31s, 50ms);
    const std::string line = "{\"index\":{\"_index\":\"logs\"}}\n";
    REQUIRE(b.script->requests().size() == 2);
    CHECK(b.script->requests()[1].body == line + "{\"n\":0}\n" + line + "{\"n\":2}\n" + line + "{\"n\":4}\n");
}

TEST_CASE("no counter, sample or health text holds a document, whatever fails", "[F130]") {
    const std::string secret = "4111111111111111";
    const std::string source = R"({"card":")" + secret + R"("})";
    for (const auto& answer :
         {Answer::items({item(400, "document_parsing_exception")}), Answer::status(400, "{}"), Answer::status(413),
          Answer::status(401), Answer::status(503), Answer::lost(Sent::complete), Answer::unreachable(),
          Answer::status(200, "<html>"), Answer::items({})}) {
        int written = 0;
        Bench b{{.retry = {.max_age = 1s}}, CallbackSink{[&](std::span<const DeadLetter> letters) -> error_code {
                    for (const auto& letter : letters) written += letter.source == source ? 1 : 0;
                    return written == 1 ? errc::sink_failed : errc{}; // once in vain
                }}};
        REQUIRE(b.put(1, {.source = source}) == Admission::accepted);
        (void)b.indexer->try_enqueue({.source = "[\"" + secret + "\"]"}); // invalid: the error names no bytes of it
        b.flush();
        b.script->answer(0, answer);
        b.run_for(40s, 50ms);
        const auto stats = b.stats();
        CHECK(stats.health_detail.find(secret) == std::string::npos);
        for (const auto& failure : stats.failures) {
            CHECK(failure.reason.find(secret) == std::string::npos);
            CHECK(failure.type.find(secret) == std::string::npos);
        }
    }
}
