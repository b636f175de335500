// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"
#include "support/indexer_bench.hpp"

#include <bulkhead/test/model_elasticsearch.hpp>

#include <boost/json/parse.hpp>

using namespace bench;

// Rows of the catalogue of failures that no other file is about.

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
