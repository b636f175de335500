// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"
#include "support/indexer_bench.hpp"

using namespace bench;

// Judge → settle → acknowledge, and retry: what the answers mean.

TEST_CASE("all items succeeded: indexed, in order, each told once, one call a flush", "[F001]") {
    Bench b;
    b.put_many(0, 100);
    b.flush();
    b.script->answer_all_ok();
    b.run();
    REQUIRE(b.told.size() == 100);
    for (std::uint64_t i = 0; i < 100; ++i) CHECK((b.told[i].key == i && b.told[i].outcome == Outcome::indexed));
    CHECK(b.calls == 1);
    CHECK(b.told[0].status == 201);
    CHECK(b.told[0].attempts == 1);
}

TEST_CASE("each item by its own class; only what is retryable travels again, byte for byte", "[F002][F025]") {
    Bench b;
    b.put_many(0, 5);
    b.flush();
    b.script->answer(0, Answer::items({item(201), item(400, "document_parsing_exception"),
                                       item(429, "es_rejected_execution_exception"), item(201),
                                       item(503, "unavailable_shards_exception")}));
    b.run();
    CHECK(b.count(Outcome::indexed) == 2);
    REQUIRE(b.count(Outcome::rejected) == 1);
    CHECK(b.told[1].key == 1);
    CHECK(b.told[1].type == "document_parsing_exception");
    CHECK(b.told[1].status == 400);
    CHECK(b.told[1].action_line == "{\"index\":{\"_index\":\"logs\"}}");
    CHECK(b.told[1].source == "{\"n\":1}");
    CHECK(b.stats().pending == 2);
    b.run_for(31s, 50ms);
    REQUIRE(b.script->requests().size() == 2);
    CHECK(b.script->requests()[1].body == "{\"index\":{\"_index\":\"logs\"}}\n{\"n\":2}\n"
                                          "{\"index\":{\"_index\":\"logs\"}}\n{\"n\":4}\n");
    b.script->answer_all_ok();
    b.run();
    CHECK(b.count(Outcome::indexed) == 4);
    CHECK(b.told.back().attempts == 1); // only the answer that it was taken: the others were about the server
    CHECK(b.books_balance());
}

TEST_CASE("an answer that proves nothing settles nothing as indexed", "[F005][F007][F008][F019]") {
    const std::string ok = R"({"index":{"status":201}})";
    const std::vector<std::string> bodies = {
        "",
        "null",
        "[]",
        "<html>welcome to the hotel</html>",
        R"({"errors":false,"items":[)" + ok + "]}",                       // one too few
        R"({"errors":false,"items":[)" + ok + "," + ok + "," + ok + "]}", // one too many
        R"({"errors":false,"items":[)" + ok + "," + ok,                   // cut
        R"({"errors":false,"items":[)" + ok + "," + ok + "]} trailing",
        R"({"errors":false,"items":[)" + ok + R"(,{}]})",
        R"({"errors":false,"items":[)" + ok + R"(,{"index":{}}]})",
        R"({"errors":false,"items":[)" + ok + R"(,{"index":{"status":"201"}}]})",
        R"({"errors":false,"items":[)" + ok + R"(,{"index":{"status":302}}]})",
    };
    for (const auto& body : bodies) {
        CAPTURE(body);
        Bench b;
        b.put(0, {.id = "a"});
        b.put(1, {.id = "b"});
        b.flush();
        b.script->answer(0, Answer::status(200, body));
        b.run();
        CHECK(b.told.empty());
        CHECK(b.stats().malformed_answers == 1);
        REQUIRE(b.stats().failures.size() == 1); // one failure, told once
        CHECK(b.stats().failures[0].type == "malformed_answer");
        CHECK(b.stats().health_detail == "malformed_answer: " + b.stats().failures[0].reason);
        CHECK_FALSE(b.stats().failures[0].reason.empty());
        b.run_for(31s, 50ms);
        REQUIRE(b.script->requests().size() == 2);
        CHECK(b.script->requests()[1].body == b.script->requests()[0].body);
        b.script->answer_all_ok();
        b.run();
        CHECK(b.count(Outcome::indexed) == 2);
    }
}

TEST_CASE("malformed answers for ever end as unknown, not as a loop without end", "[F021]") {
    Bench b{{.retry = {.max_attempts = 3, .max_age = unlimited}}};
    b.put(0, {.id = "a"});
    b.script->respond = [](const test::SeenRequest&) { return Answer::status(200, "{}"); };
    b.run_for(200s, 100ms);
    REQUIRE(b.told.size() == 1);
    CHECK(b.told[0].outcome == Outcome::unknown);
    CHECK(b.told[0].type == "malformed_answer");
    CHECK(b.script->requests().size() == 3);
}

TEST_CASE("a whole 429, 502, 503 or 504, or no connection, charges nobody and goes on until it works",
          "[F023][F024][F064]") {
    for (const unsigned status : {0U, 429U, 502U, 503U, 504U}) {
        CAPTURE(status);
        Bench b{{.retry = {.max_attempts = 2, .max_age = unlimited}}};
        b.put(0, {.id = "a"});
        b.script->respond = [&](const test::SeenRequest&) {
            return status == 0 ? Answer::unreachable() : Answer::status(status, "<html>busy</html>");
        };
        b.run_for(600s, 100ms);
        CHECK(b.told.empty());
        CHECK(b.stats().health == Health::backing_off);
        CHECK(b.script->requests().size() > 20); // probed at least every 30 s
        CHECK(b.script->requests().size() < 600);
        b.script->respond = [](const test::SeenRequest& r) { return Answer::ok(r.operations); };
        b.run_for(31s, 100ms);
        CHECK(b.count(Outcome::indexed) == 1);
        CHECK(b.stats().health == Health::ok);
    }
}

TEST_CASE("while the endpoint fails one probe is out at a time, and Retry-After is kept", "[F071]") {
    Bench b{{.max_batch_operations = 1, .max_in_flight = 4, .retry = {.max_backoff = 60s}}};
    b.put_many(0, 8);
    b.run();
    REQUIRE(b.script->requests().size() == 4);
    for (std::size_t i = 0; i < 4; ++i) b.script->answer(i, Answer::status(429, {}, std::chrono::seconds{20}));
    b.run_for(19900ms);
    CHECK(b.script->requests().size() == 4);
    b.run_for(200ms);
    CHECK(b.script->requests().size() == 5);
    b.run_for(10s);
    CHECK(b.script->requests().size() == 5);
    b.script->answer(4, Answer::ok(1));
    b.run();
    CHECK(b.script->requests().size() == 7); // half as many as before the trouble
}

TEST_CASE("an item's attempts run out: rejected once, its siblings unaffected", "[F073]") {
    Bench b{{.retry = {.max_attempts = 3}}};
    b.put_many(0, 2);
    b.script->respond = [](const test::SeenRequest& r) {
        std::vector<std::string> items;
        for (const auto& line : lines(r.body)) {
            if (line.find("\"n\":0") != std::string::npos) items.push_back(item(425, "too_early_exception"));
            if (line.find("\"n\":1") != std::string::npos) items.push_back(item(201));
        }
        return Answer::items(items);
    };
    b.run_for(200s, 50ms);
    CHECK(b.count(Outcome::indexed) == 1);
    REQUIRE(b.count(Outcome::rejected) == 1);
    CHECK(b.told.back().attempts == 3);
    CHECK(b.script->requests().size() == 3);
}

TEST_CASE("a disk at the flood stage for hours charges nobody", "[F026][F082]") {
    Bench b{{.retry = {.max_attempts = 2, .max_age = unlimited}}};
    b.put(0);
    b.script->respond = [](const test::SeenRequest&) { return Answer::items({item(429, "cluster_block_exception")}); };
    b.run_for(2h, 1s);
    CHECK(b.told.empty());
    CHECK(b.stats().in_flight == 0);
    b.script->respond = [](const test::SeenRequest& r) { return Answer::ok(r.operations); };
    b.run_for(31s, 100ms);
    CHECK(b.count(Outcome::indexed) == 1);
}

TEST_CASE("what is older than max_age is not sent again: undelivered, or unknown if it may have been applied") {
    Bench b{{.retry = {.max_age = 60s}}};
    b.put(0, {.id = "a"});
    b.script->respond = [](const test::SeenRequest&) { return Answer::unreachable(); };
    b.run_for(61s, 100ms);
    REQUIRE(b.told.size() == 1);
    CHECK(b.told[0].outcome == Outcome::undelivered);
    CHECK(b.told[0].type == "too_old");
    b.put(1, {.id = "b"});
    b.script->respond = [](const test::SeenRequest&) { return Answer::lost(Sent::complete); };
    b.run_for(92s, 100ms);
    REQUIRE(b.told.size() == 2);
    CHECK(b.told[1].outcome == Outcome::unknown);
}

TEST_CASE("sent but not answered: repeated where that does no harm, unknown where it could", "[F079][F080]") {
    for (const auto sent : {Sent::partial, Sent::complete}) {
        Bench b;
        b.put(0, {.id = "a"});
        b.put(1); // no id: could be stored twice
        b.put(2, {.action = Action::create, .id = "c"});
        b.put(3, {.id = "d", .if_seq_no = 1, .if_primary_term = 1}); // would conflict with itself
        b.put(4, {.action = Action::update, .id = "e", .source = R"({"script":"ctx._source.n++"})"});
        b.put(5, {.action = Action::update, .id = "f", .source = R"({"doc":{"n":1}})"});
        b.put(6, {.action = Action::delete_, .id = "g"});
        b.flush();
        b.script->answer(0, Answer::lost(sent));
        b.run();
        CHECK(b.count(Outcome::unknown) == 3);
        for (const auto& one : b.told) {
            CHECK((one.key == 1 || one.key == 3 || one.key == 4));
            CHECK(one.type == "no_answer");
        }
        b.run_for(31s, 50ms);
        REQUIRE(b.script->requests().size() == 2);
        CHECK(b.script->requests()[1].operations == 4);
        CHECK(b.books_balance());
    }
}

TEST_CASE("duplicates allowed by name: an operation without id is sent again") {
    Bench b{{.duplicates = Duplicates::allow}};
    b.put(0);
    b.flush();
    b.script->answer(0, Answer::lost(Sent::complete));
    b.run_for(31s, 50ms);
    CHECK(b.told.empty());
    CHECK(b.script->requests().size() == 2);
}

TEST_CASE("a conflict of a create: the caller's on the first attempt, our own after an unanswered one", "[F040]") {
    Bench b;
    b.put(0, {.action = Action::create, .id = "a"});
    b.put(1, {.action = Action::create, .id = "b", .on_conflict = OnConflict::already_there});
    b.flush();
    b.script->answer(0, Answer::items({item(409, "version_conflict_engine_exception", "create"),
                                       item(409, "version_conflict_engine_exception", "create")}));
    b.run();
    CHECK(b.told.at(0).outcome == Outcome::rejected);
    CHECK(b.told.at(1).outcome == Outcome::superseded);

    b.put(2, {.action = Action::create, .id = "c"});
    b.flush();
    b.script->answer(1, Answer::lost(Sent::complete));
    b.run_for(31s, 50ms);
    b.script->answer(2, Answer::items({item(409, "version_conflict_engine_exception", "create")}));
    b.run();
    CHECK(b.told.at(2).outcome == Outcome::superseded);
}

TEST_CASE("a conflict after a request that was refused for another's sake proves nothing, and is told so",
          "[F040][F030]") {
    Bench b;
    b.put(0, {.action = Action::create, .id = "a"});
    b.put(1, {.action = Action::create, .id = "b", .on_conflict = OnConflict::already_there});
    b.put(2, {.action = Action::create, .id = "c"});
    b.script->respond = [](const test::SeenRequest& r) {
        if (r.body.find("{\"n\":2}") != std::string::npos) return Answer::status(400);
        std::vector items(r.operations, item(409, "version_conflict_engine_exception", "create"));
        return Answer::items(items);
    };
    b.flush();
    b.run_for(1s);
    CHECK(b.count(Outcome::rejected) == 1);
    CHECK(b.count(Outcome::unknown) == 1); // a: somebody else's, or of the refused request after all
    CHECK(b.count(Outcome::superseded) == 1);
    for (const auto& one : b.told)
        if (one.key == 0) CHECK(one.outcome == Outcome::unknown);
    CHECK(b.books_balance());
}

TEST_CASE("a whole 400 is halved until the culprit stands alone", "[F030]") {
    Bench b;
    b.put_many(0, 1000);
    b.script->respond = [](const test::SeenRequest& r) {
        return r.body.find("{\"n\":637}") != std::string::npos
                   ? Answer::status(400,
                                    R"({"error":{"type":"illegal_argument_exception","reason":"bad"},"status":400})")
                   : Answer::ok(r.operations);
    };
    b.run_for(2s);
    CHECK(b.count(Outcome::indexed) == 999);
    REQUIRE(b.count(Outcome::rejected) == 1);
    for (const auto& one : b.told) {
        if (one.outcome != Outcome::rejected) continue;
        CHECK(one.key == 637);
        CHECK(one.type == "illegal_argument_exception");
        CHECK(one.status == 400);
    }
    CHECK(b.script->requests().size() <= 21);
    for (const auto& [key, times] : b.times_told()) CHECK(times == 1);
    CHECK(b.books_balance());
}

TEST_CASE("a 413 is halved, never resent unchanged; one operation alone is rejected", "[F032]") {
    Bench b;
    b.put_many(0, 64);
    b.script->respond = [](const test::SeenRequest& r) {
        return r.operations > 10 ? Answer::status(413, "<html>too large</html>") : Answer::ok(r.operations);
    };
    b.run_for(2s);
    CHECK(b.count(Outcome::indexed) == 64);
    b.script->respond = [](const test::SeenRequest&) { return Answer::status(413); };
    b.put(64);
    b.run_for(2s);
    CHECK(b.told.back().outcome == Outcome::rejected);
    CHECK(b.told.back().status == 413);
}

TEST_CASE("a 413 after an attempt that was not answered says nothing of that attempt", "[F032]") {
    Bench b;
    bool first = true;
    b.script->respond = [&](const test::SeenRequest&) {
        return std::exchange(first, false) ? Answer::lost(Sent::complete) : Answer::status(413);
    };
    b.put(0, {.id = "one"});
    b.run_for(5s);
    REQUIRE(b.told.size() == 1);
    CHECK(b.told[0].outcome == Outcome::unknown); // the first attempt may have been applied
    CHECK(b.told[0].status == 413);
}

TEST_CASE("401 and 403 pause, 404 and redirects too; nothing is thrown away", "[F029][F035][F036]") {
    for (const unsigned status : {401U, 403U, 404U, 405U, 301U, 307U}) {
        CAPTURE(status);
        Bench b{{.retry = {.max_attempts = 1, .max_age = unlimited}}};
        b.put(0);
        b.script->respond = [&](const test::SeenRequest&) { return Answer::status(status, "no"); };
        b.run_for(300s, 100ms);
        CHECK(b.told.empty());
        CHECK(b.stats().health == (status == 401 || status == 403 ? Health::unauthorized : Health::misconfigured));
        b.script->respond = [](const test::SeenRequest& r) { return Answer::ok(r.operations); };
        b.run_for(31s, 100ms);
        REQUIRE(b.count(Outcome::indexed) == 1);
        CHECK(b.told[0].attempts == 1); // the endpoint's failures were not charged to the operation
    }
}

TEST_CASE("observers may call back in, may throw, and may leave", "[F103]") {
    Bench b;
    int rounds = 0;
    Subscription again;
    again = b.indexer->subscribe(b.context.get_executor(), [&](std::span<const Settlement>) {
        if (++rounds < 5) (void)b.indexer->try_enqueue({.source = "{}"}, again.ticket(1));
        throw std::runtime_error{"a careless observer"};
    });
    REQUIRE(b.indexer->try_enqueue({.source = "{}"}, again.ticket(1)) == Admission::accepted);
    b.script->respond = [](const test::SeenRequest& r) { return Answer::ok(r.operations); };
    b.run_for(10s);
    CHECK(rounds == 5);
    CHECK(b.stats().indexed == 5);
    REQUIRE(b.indexer->try_enqueue({.source = "{}"}, again.ticket(1)) == Admission::accepted);
    again.reset();
    b.run_for(2s);
    CHECK(rounds == 5);
    CHECK(b.stats().unobserved == 1);
    CHECK(b.stats().pending == 0);
}

TEST_CASE("async_index waits for one document; async_flush for all before it; async_enqueue for room") {
    Bench b{{.max_buffered_operations = 2}};
    std::vector<std::string> events;
    b.indexer->async_index({.source = "{\"n\":0}"}, [&](error_code error, IndexResult result) {
        events.push_back("index " + std::to_string(error.value()) + " " + std::string{to_string(result.outcome)} + " " +
                         result.type);
    });
    b.indexer->async_enqueue({.source = "{\"n\":1}"}, [&](error_code, Admission a) {
        events.push_back(a == Admission::accepted ? "room" : "no room");
    });
    b.run();
    CHECK(events == std::vector<std::string>{"room"});
    b.indexer->async_enqueue({.source = "{\"n\":2}"}, b.subscription.ticket(2), [&](error_code, Admission a) {
        events.push_back(a == Admission::accepted ? "room later" : "no room");
    });
    b.indexer->async_flush(5s, [&](error_code error) { events.push_back("flushed " + error.message()); });
    b.run();
    REQUIRE(b.script->requests().size() == 1);
    CHECK(b.script->requests()[0].operations == 2);
    CHECK(events.size() == 1);
    b.script->answer(0, Answer::items({item(400, "mapper_parsing_exception"), item(201)}));
    b.run();
    REQUIRE(events.size() == 4);
    CHECK(std::count(events.begin(), events.end(), "index 0 rejected mapper_parsing_exception") == 1);
    CHECK(std::count(events.begin(), events.end(), "flushed Success") == 1);
    CHECK(std::count(events.begin(), events.end(), "room later") == 1);
    CHECK(b.told.empty());
    b.flush();
    b.script->answer_all_ok();
    b.run();
    CHECK(b.times_told() == std::map<std::uint64_t, int>{{2, 1}});
}

TEST_CASE("what cannot be accepted is said at once, counted, and waited for by nobody") {
    Bench b{{.index = "logs", .max_buffered_bytes = 64 * 1024, .max_operation_bytes = 1024}};
    const std::string big = "{\"m\":\"" + std::string(2000, 'x') + "\"}";
    std::vector<std::string> said;
    const auto index = [&](const Operation& op) {
        b.indexer->async_index(op, [&](error_code error, const IndexResult&) { said.push_back(error.message()); });
    };
    const auto enqueue = [&](const Operation& op) {
        b.indexer->async_enqueue(op, [&](error_code error, Admission admission) {
            CHECK_FALSE(error);
            said.push_back(std::string{to_string(admission)});
        });
    };
    index({.source = "nonsense"});
    index({.source = big});
    enqueue({.source = "nonsense"});
    enqueue({.source = big});
    b.run();
    CHECK(said == std::vector<std::string>{error_code{errc::invalid_operation}.message(),
                                           error_code{errc::too_large}.message(), "invalid", "too_large"});
    // There is nobody to make room meanwhile, so waiting would take the whole hour.
    CHECK(b.indexer->enqueue_wait({.source = "nonsense"}, 1h) == Admission::invalid);
    CHECK(b.indexer->enqueue_wait({.source = big}, 1h) == Admission::too_large);
    CHECK(b.stats().refused_invalid == 3);
    CHECK(b.stats().refused_too_large == 3);
    CHECK(b.stats().offered == 6);
    b.indexer->async_close(0ms, [](error_code, const bulkhead::CloseReport&) {});
    b.run();
    said.clear();
    index({.source = "{}"});
    enqueue({.source = "{}"});
    b.run();
    CHECK(said == std::vector<std::string>{error_code{errc::closed}.message(), "closed"});
    CHECK(b.indexer->enqueue_wait({.source = "{}"}, 1h) == Admission::closed);
    CHECK(b.script->requests().empty());
}

TEST_CASE("a flush waits for what came before it, and for nothing that comes later", "[F110]") {
    Bench b;
    b.put(0);
    b.flush(); // so that the next one finds nothing open
    std::optional<error_code> flushed;
    b.indexer->async_flush(10s, [&](error_code error) { flushed = error; });
    b.put(1);
    b.flush();
    CHECK_FALSE(flushed);
    b.script->answer(0, Answer::ok(1));
    b.run();
    REQUIRE(flushed);
    CHECK_FALSE(*flushed);
    CHECK(b.stats().pending == 1);
}

TEST_CASE("a flush that is not over by its deadline says so, and the work goes on", "[F110]") {
    Bench b;
    b.put(0);
    error_code flushed;
    b.indexer->async_flush(3s, [&](error_code error) { flushed = error; });
    b.run_for(2900ms);
    CHECK_FALSE(flushed);
    b.run_for(200ms);
    CHECK(flushed == error_code{errc::deadline_exceeded});
    b.script->answer_all_ok();
    b.run();
    CHECK(b.count(Outcome::indexed) == 1);
}

TEST_CASE("the byte budget holds while bulks fail in part and are told, and nothing is left of it at the end",
          "[F105][F106]") {
    Bench b{{.max_batch_operations = 64, .max_buffered_bytes = 128 * 1024, .retry = {.max_attempts = 4}}};
    std::uint64_t turn = 0;
    b.script->respond = [&](const test::SeenRequest& r) -> std::optional<Answer> {
        ++turn;
        if (turn % 5 == 0) return Answer::status(413);
        if (turn % 7 == 0) return Answer::lost(Sent::partial);
        std::vector<std::string> items;
        for (std::size_t i = 0; i < r.operations; ++i) {
            switch ((turn + i) % 4) {
            case 0: items.push_back(item(400, "document_parsing_exception")); break;
            case 1: items.push_back(item(429, "es_rejected_execution_exception")); break;
            default: items.push_back(item(201)); break;
            }
        }
        return Answer::items(items);
    };
    std::uint64_t accepted = 0;
    for (int round = 0; round < 300; ++round) {
        const std::string source = "{\"t\":\"" + std::string(static_cast<std::size_t>(round % 97), 'x') + "\"}";
        for (int i = 0; i < 50; ++i) accepted += b.put(accepted, {.source = source}) == Admission::accepted ? 1U : 0U;
        b.run_for(50ms);
        REQUIRE(b.stats().buffered_bytes <= 128 * 1024);
        REQUIRE(b.books_balance());
    }
    CHECK(accepted > 1000);
    std::optional<CloseReport> report;
    b.indexer->async_close(200s, [&](error_code, CloseReport r) { report = std::move(r); });
    b.run_for(200s, 50ms);
    REQUIRE(report);
    CHECK(report->drained);
    CHECK(report->stats.peak_buffered_bytes <= 128 * 1024);
    CHECK(report->stats.buffered_bytes == 0);
    CHECK(b.told.size() == accepted);
    for (const auto& [key, times] : b.times_told()) CHECK(times == 1);
}

TEST_CASE("requests that fail together are one failure of the endpoint, not many") {
    for (int round = 0; round < 5; ++round) {
        Bench b{{.max_batch_operations = 1, .max_in_flight = 8, .retry = {.initial_backoff = 1s, .max_backoff = 1h}}};
        b.put_many(0, 8);
        b.run();
        REQUIRE(b.script->requests().size() == 8);
        for (const auto i : b.script->waiting()) b.script->answer(i, Answer::unreachable());
        b.run_for(1s); // the bound of a first failure; that of an eighth would be two minutes
        CHECK(b.script->requests().size() == 9);
    }
}

TEST_CASE("settlements that nobody has taken yet count against the budget") {
    Bench b;
    asio::io_context elsewhere;
    const auto subscription = b.indexer->subscribe(elsewhere.get_executor(), [](std::span<const Settlement>) {});
    for (int i = 0; i < 100; ++i)
        REQUIRE(b.indexer->try_enqueue({.source = "{}"}, subscription.ticket(1)) == Admission::accepted);
    b.script->respond = [](const test::SeenRequest& r) { return Answer::ok(r.operations); };
    b.flush();
    CHECK(b.stats().pending == 0);
    const auto untold = b.stats().buffered_bytes;
    test::run_ready(elsewhere);
    b.run();
    CHECK(untold - b.stats().buffered_bytes == 100 * sizeof(Settlement));
}

TEST_CASE("an answer that was cut off as malformed or too large is charged like any other nonsense", "[F021]") {
    for (const auto why : {errc::malformed_answer, errc::answer_too_large}) {
        Bench b{{.retry = {.max_attempts = 3, .max_age = unlimited}}};
        b.put(0, {.id = "a"});
        b.script->respond = [&](const test::SeenRequest&) {
            auto answer = Answer::status(200);
            answer.reply.error = why;
            answer.reply.body_complete = false;
            return answer;
        };
        b.run_for(200s, 100ms);
        REQUIRE(b.told.size() == 1);
        CHECK(b.told[0].outcome == Outcome::unknown);
        CHECK(b.script->requests().size() == 3);
        CHECK(b.stats().malformed_answers == 3);
    }
}

TEST_CASE("after an answer that was too large the bulk travels in halves, so that the next one is smaller", "[F021]") {
    Bench b;
    for (std::uint64_t key = 0; key < 100; ++key) b.put(key, {.id = std::to_string(key)});
    b.put(100); // no id: it may be there, and is not sent again
    b.script->respond = [](const test::SeenRequest& request) {
        if (request.operations <= 30) return Answer::ok(request.operations);
        auto answer = Answer::status(200);
        answer.reply.error = errc::answer_too_large;
        answer.reply.body_complete = false;
        return answer;
    };
    b.flush();
    b.run_for(60s, 50ms);
    CHECK(b.count(Outcome::indexed) == 100);
    CHECK(b.count(Outcome::unknown) == 1);
    std::vector<std::size_t> sizes;
    for (const auto& request : b.script->requests()) sizes.push_back(request.operations);
    CHECK(sizes == std::vector<std::size_t>{101, 50, 50, 25, 25, 25, 25});
    for (const auto& [key, times] : b.times_told()) CHECK(times == 1);
    CHECK(b.stats().malformed_answers == 3);
    CHECK(b.stats().health == Health::ok);
    CHECK(b.books_balance());
    b.put_many(200, 5); // and what comes later is whole
    b.flush();
    CHECK(b.script->requests().back().operations == 5);
}

TEST_CASE("a subscription that is moved over another ends that other", "[subscription]") {
    Bench b;
    int first = 0;
    int second = 0;
    auto a = b.indexer->subscribe(b.context.get_executor(), [&](std::span<const Settlement>) { ++first; });
    auto other = b.indexer->subscribe(b.context.get_executor(), [&](std::span<const Settlement>) { ++second; });
    CHECK(b.indexer->try_enqueue({.source = "{}"}, a.ticket(1)) == Admission::accepted);
    CHECK(b.indexer->try_enqueue({.source = "{}"}, other.ticket(2)) == Admission::accepted);
    a = std::move(other);
    b.flush();
    b.script->answer_all_ok();
    b.run();
    CHECK(first == 0);
    CHECK(second == 1);
    CHECK(b.stats().unobserved == 1);
}

TEST_CASE("a URL whose path is no bulk endpoint's refuses no document: it is mended, and they arrive", "[F031]") {
    Bench b{{.max_batch_operations = 1}};
    b.script->respond = [](const test::SeenRequest&) {
        return Answer::status(400, R"({"error":"no handler found for uri [/x/_bulk] and method [POST]"})");
    };
    b.put_many(0, 5);
    b.run_for(60s, 100ms);
    CHECK(b.stats().health == Health::misconfigured);
    CHECK(b.told.empty());
    b.script->respond = [](const test::SeenRequest& r) { return Answer::ok(r.operations); };
    b.run_for(60s, 100ms);
    CHECK(b.count(Outcome::indexed) == 5);
}
