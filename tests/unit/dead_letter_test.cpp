// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"
#include "support/indexer_bench.hpp"

#include <boost/json/parse.hpp>

using namespace bench;

// What the server refuses for good goes to the sink, and settles when the sink has acknowledged it.

namespace {

/// A sink that a test answers by hand, or that answers at once.
struct Shelf {
    struct Letter {
        std::string action_line, source, type, reason;
        std::uint16_t status;
        std::uint32_t attempts;
        std::uint64_t key;
    };
    std::vector<Letter> letters; ///< acknowledged
    std::size_t offered = 0;
    std::size_t calls = 0;
    bool hold = false; ///< keep the writer waiting
    error_code error{};
    std::shared_ptr<asio::steady_timer> gate;
};
class ShelfSink {
public:
    explicit ShelfSink(std::shared_ptr<Shelf> shelf) : shelf_{std::move(shelf)} {}
    asio::awaitable<error_code> write(std::span<const DeadLetter> letters) {
        const auto shelf = shelf_;
        ++shelf->calls;
        shelf->offered += letters.size();
        if (shelf->hold) {
            const auto executor = co_await asio::this_coro::executor;
            shelf->gate = std::make_shared<asio::steady_timer>(executor, asio::steady_timer::time_point::max());
            error_code ignored;
            co_await shelf->gate->async_wait(asio::redirect_error(asio::use_awaitable, ignored));
            shelf->gate.reset(); // before its context goes
        }
        if (shelf->error) co_return shelf->error;
        for (const auto& l : letters)
            shelf->letters.push_back({std::string{l.action_line}, std::string{l.source}, std::string{l.type},
                                      std::string{l.reason}, l.status, l.attempts, l.ticket.key});
        co_return error_code{};
    }

private:
    std::shared_ptr<Shelf> shelf_;
};
struct LetterBench {
    explicit LetterBench(IndexerOptions options = {}) : b{std::move(options), ShelfSink{shelf}} {}
    std::shared_ptr<Shelf> shelf = std::make_shared<Shelf>();
    Bench b;
};
const auto refusal = item(400, "document_parsing_exception");

} // namespace

TEST_CASE("a refused operation settles when the sink has taken its bytes, its error and its ticket", "[F124]") {
    LetterBench l;
    auto& b = l.b;
    l.shelf->hold = true;
    b.put_many(0, 3);
    b.flush();
    b.script->answer(0, Answer::items({item(201), refusal, item(201)}));
    b.run();
    CHECK(b.count(Outcome::indexed) == 2);
    CHECK(b.told.size() == 2); // not before the sink has acknowledged it
    CHECK(b.stats().pending == 1);
    CHECK(b.stats().dead_letters_waiting == 1);
    l.shelf->gate->cancel();
    b.run();
    REQUIRE(b.count(Outcome::dead_lettered) == 1);
    CHECK(b.told.back().key == 1);
    CHECK(b.told.back().type == "document_parsing_exception");
    CHECK(b.told.back().source == "{\"n\":1}");
    REQUIRE(l.shelf->letters.size() == 1);
    const auto& letter = l.shelf->letters[0];
    CHECK(letter.action_line == R"({"index":{"_index":"logs"}})");
    CHECK(letter.source == "{\"n\":1}");
    CHECK(letter.type == "document_parsing_exception");
    CHECK(letter.reason == "because");
    CHECK(letter.status == 400);
    CHECK(letter.attempts == 1);
    CHECK(letter.key == 1);
    CHECK(b.stats().dead_letters_waiting == 0);
    CHECK(b.stats().dead_lettered == 1);
    CHECK(b.books_balance());
}

TEST_CASE("an operation whose attempts ran out, and one that a whole 400 or 413 is about, become dead letters",
          "[F073][F124]") {
    LetterBench l{{.retry = {.max_attempts = 2}}};
    auto& b = l.b;
    b.put(1);
    b.flush();
    SECTION("425 and 425 again") {
        for (int i = 0; i < 2; ++i) {
            b.script->answer(b.script->waiting().back(), Answer::items({item(425, "too_early_exception")}));
            b.run_for(31s, 10ms);
        }
        CHECK(l.shelf->letters.at(0).attempts == 2);
    }
    SECTION("400") { b.script->answer(0, Answer::status(400, R"({"error":{"type":"illegal_argument_exception"}})")); }
    SECTION("413") { b.script->answer(0, Answer::status(413)); }
    b.run_for(1s);
    CHECK(b.count(Outcome::dead_lettered) == 1);
    CHECK(l.shelf->letters.size() == 1);
    CHECK(b.books_balance());
}

TEST_CASE("a dead letter of async_index has no ticket of the caller's", "[F124]") {
    std::optional<Ticket> ticket;
    Bench b{{}, CallbackSink{[&](std::span<const DeadLetter> letters) -> error_code {
                ticket = letters[0].ticket;
                return {};
            }}};
    std::optional<IndexResult> result;
    b.indexer->async_index({.source = "{}"}, [&](error_code, IndexResult r) { result = std::move(r); });
    b.run();
    b.flush();
    b.script->answer(0, Answer::items({refusal}));
    b.run();
    CHECK(ticket == Ticket{});
    REQUIRE(result);
    CHECK(result->outcome == Outcome::dead_lettered);
}

TEST_CASE("without a sink what is refused is told as rejected", "[F126]") {
    Bench b;
    b.put(1);
    b.flush();
    b.script->answer(0, Answer::items({refusal}));
    b.run();
    CHECK(b.count(Outcome::rejected) == 1);
}

TEST_CASE("a failing sink is tried again, and nothing else is sent meanwhile; nothing is lost", "[F125][F128]") {
    LetterBench l{{.max_buffered_bytes = 64 * 1024}};
    auto& b = l.b;
    l.shelf->error = errc::sink_full;
    b.put_many(0, 2);
    b.flush();
    b.script->answer(0, Answer::items({refusal, refusal}));
    b.run();
    CHECK(b.told.empty());
    CHECK(b.stats().health == Health::sink_failing);
    CHECK(b.stats().health_detail.find("size") != std::string::npos);
    std::uint64_t key = 2;
    while (b.put(key) == Admission::accepted) ++key; // back-pressure, in the end
    b.flush();
    b.run_for(60s, 50ms);
    CHECK(b.script->requests().size() == 1);
    CHECK(l.shelf->calls > 3);
    CHECK(l.shelf->calls < 1000); // with backoff
    CHECK(l.shelf->letters.empty());
    CHECK(b.told.empty());
    l.shelf->error = {};
    b.run_for(31s, 50ms);
    CHECK(b.count(Outcome::dead_lettered) == 2);
    CHECK(b.stats().health == Health::ok);
    while (b.stats().pending != 0) {
        b.script->answer_all_ok();
        b.run_for(1s);
    }
    CHECK(b.told.size() == key);
    CHECK(l.shelf->letters.size() == 2);
    CHECK(b.books_balance());
}

TEST_CASE("a sink that throws has failed", "[F125]") {
    int calls = 0;
    Bench b{{}, CallbackSink{[&calls](std::span<const DeadLetter>) -> error_code {
                if (++calls < 3) throw std::runtime_error{"no"};
                return {};
            }}};
    b.put(1);
    b.flush();
    b.script->answer(0, Answer::items({refusal}));
    b.run_for(31s);
    CHECK(calls == 3);
    CHECK(b.count(Outcome::dead_lettered) == 1);
}

TEST_CASE("a close ends by its deadline while the sink hangs, and reports what the server refused", "[F115][F125]") {
    LetterBench l;
    auto& b = l.b;
    l.shelf->hold = true;
    b.put_many(0, 2);
    b.flush();
    b.script->answer(0, Answer::items({item(201), refusal}));
    b.run();
    std::optional<CloseReport> report;
    b.indexer->async_close(5s, [&](error_code, CloseReport r) { report = std::move(r); });
    b.run_for(4s);
    CHECK_FALSE(report);
    b.run_for(2s);
    REQUIRE(report);
    CHECK_FALSE(report->drained);
    CHECK(b.count(Outcome::rejected) == 1);
    CHECK(b.told.back().source == "{\"n\":1}");
    CHECK(report->stats.pending == 0);
    l.shelf->gate->cancel(); // too late: it must neither crash nor settle again
    b.run();
    CHECK(b.told.size() == 2);
    CHECK(b.books_balance());
}

TEST_CASE("a flood of refusals pauses instead of emptying everything into the sink", "[F127][F039]") {
    LetterBench l{{.max_batch_operations = 100, .max_in_flight = 2, .flood = {.percent = 50, .operations = 300}}};
    auto& b = l.b;
    bool broken = true;
    b.script->respond = [&](const test::SeenRequest& request) -> std::optional<Answer> {
        std::vector<std::string> items(request.operations, broken ? refusal : item(201));
        return Answer::items(items);
    };
    b.put_many(0, 2000);
    b.run_for(10s);
    CHECK(b.stats().health == Health::flooded);
    CHECK(b.stats().health_detail.find("document_parsing_exception") != std::string::npos);
    CHECK(b.count(Outcome::dead_lettered) == 200); // what came before it was a flood
    const auto requests = b.script->requests().size();
    b.run_for(60s, 50ms);
    CHECK(b.script->requests().size() > requests);
    CHECK(b.script->requests().size() < requests + 60); // it only looks whether it is over
    CHECK(b.count(Outcome::dead_lettered) == 200);
    broken = false; // the mapping was mended
    b.run_for(60s, 50ms);
    CHECK(b.stats().health == Health::ok);
    CHECK(b.count(Outcome::indexed) == 1800);
    CHECK(b.books_balance());
}

TEST_CASE("a flood that was only a bad batch ends with the next good one", "[F127]") {
    LetterBench l{{.max_batch_operations = 100, .max_in_flight = 1, .flood = {.percent = 50, .operations = 100}}};
    auto& b = l.b;
    b.script->respond = [&](const test::SeenRequest& request) -> std::optional<Answer> {
        std::vector<std::string> items;
        for (const auto& line : lines(request.body)) {
            if (line.starts_with("{\"index\"")) continue;
            items.push_back(std::stoi(line.substr(5)) < 100 ? refusal : item(201));
        }
        return Answer::items(items);
    };
    b.put_many(0, 1000);
    for (int i = 0; i < 100 && b.stats().pending != 0; ++i) b.run_for(10s, 50ms);
    CHECK(b.count(Outcome::indexed) == 900);
    CHECK(b.count(Outcome::dead_lettered) == 100);
    CHECK(b.stats().health == Health::ok);
}

TEST_CASE("a user's table comes before the library's: dead letter, discard, success, again, wait", "[F028]") {
    LetterBench l{{.retry = {.max_attempts = 2},
                   .verdicts = {{403, 403, "security_exception", Verdict::reject},
                                {400, 400, "document_parsing_exception", Verdict::discard},
                                {404, 404, "", Verdict::indexed},
                                {409, 409, "", Verdict::superseded},
                                {400, 499, "strict_dynamic_mapping_exception", Verdict::environment}}}};
    auto& b = l.b;
    for (std::uint64_t key = 0; key < 5; ++key) b.put(key, {.action = Action::create, .id = "x"});
    b.flush();
    b.script->answer(0, Answer::items({item(403, "security_exception"), refusal, item(404, "index_not_found_exception"),
                                       item(409, "version_conflict_engine_exception"),
                                       item(400, "strict_dynamic_mapping_exception")}));
    b.run();
    CHECK(b.count(Outcome::dead_lettered) == 1);
    CHECK(b.count(Outcome::rejected) == 1);
    CHECK(b.count(Outcome::indexed) == 1);
    CHECK(b.count(Outcome::superseded) == 1);
    CHECK(b.stats().pending == 1);
    b.run_for(31s, 50ms);
    CHECK(b.script->requests().size() == 2);
    b.script->answer_all_ok();
    b.run();
    CHECK(b.count(Outcome::indexed) == 2);
    CHECK(l.shelf->letters.at(0).key == 0);
}

TEST_CASE("an item that may not be written to its index waits and is tried again without a hot loop", "[F028]") {
    Bench b;
    b.put_many(0, 2);
    b.flush();
    b.script->respond = [](const test::SeenRequest& request) -> std::optional<Answer> {
        return Answer::items(std::vector<std::string>(request.operations, item(403, "security_exception")));
    };
    b.script->answer(0, Answer::items({item(403, "security_exception"), item(201)}));
    b.run();
    CHECK(b.count(Outcome::indexed) == 1);
    b.run_for(std::chrono::minutes{5}, 100ms);
    CHECK(b.told.size() == 1);
    CHECK(b.script->requests().size() > 5);
    CHECK(b.script->requests().size() < 60);
}

TEST_CASE("when every request is refused as malformed, down to single operations, it is not their fault", "[F031]") {
    Bench b{{.max_in_flight = 1, .retry = {.max_age = unlimited}}};
    bool broken = true;
    b.script->respond = [&](const test::SeenRequest& request) -> std::optional<Answer> {
        if (broken) return Answer::status(400, R"({"error":{"type":"illegal_argument_exception"},"status":400})");
        return Answer::ok(request.operations);
    };
    b.put_many(0, 1000);
    b.run_for(60s, 50ms);
    CHECK(b.stats().health == Health::misconfigured);
    CHECK(b.script->requests().size() < 150);
    const auto rejected = b.count(Outcome::rejected);
    CHECK(rejected <= 40);
    b.run_for(60s, 50ms);
    CHECK(b.count(Outcome::rejected) == rejected);
    broken = false;
    b.run_for(120s, 50ms);
    CHECK(b.count(Outcome::indexed) == 1000 - rejected);
    CHECK(b.stats().health == Health::ok);
    CHECK(b.books_balance());
}

TEST_CASE("a sink that hangs shows as soon as it holds everything up, and that it is over", "[F125]") {
    LetterBench l{{.max_batch_operations = 1, .max_in_flight = 1}};
    auto& b = l.b;
    l.shelf->hold = true;
    b.script->respond = [](const test::SeenRequest&) { return Answer::items({refusal}); };
    b.put_many(0, 20);
    b.run();
    CHECK(b.told.empty());
    CHECK(b.stats().health == Health::sink_failing);
    CHECK(b.stats().health_detail.find("dead-letter sink") != std::string::npos);
    const auto requests = b.script->requests().size();
    CHECK(requests == 8);
    b.run_for(60s, 1s);
    CHECK(b.script->requests().size() == requests); // nothing is sent
    l.shelf->hold = false;
    l.shelf->gate->cancel();
    b.run_for(1s);
    CHECK(b.count(Outcome::dead_lettered) == 20);
    CHECK(b.stats().health == Health::ok);
    CHECK(b.books_balance());
}

TEST_CASE("when no item of a bulk may be written everything pauses, and that shows", "[F028][F026]") {
    struct Row {
        std::string type;
        unsigned status;
        Health health;
    };
    for (const auto& row :
         {Row{"security_exception", 403, Health::unauthorized}, Row{"", 401, Health::unauthorized},
          Row{"my_exception", 400, Health::unauthorized}, Row{"cluster_block_exception", 403, Health::backing_off},
          Row{"cluster_block_exception", 429, Health::backing_off}}) {
        for (const std::size_t operations : {1U, 10U}) {
            CAPTURE(row.type, row.status, operations);
            Bench b{{.max_batch_operations = operations,
                     .max_in_flight = 1,
                     .retry = {.max_attempts = 1, .max_age = unlimited},
                     .verdicts = {{400, 400, "my_exception", Verdict::environment}}}};
            bool allowed = false;
            b.script->respond = [&](const test::SeenRequest& request) -> std::optional<Answer> {
                if (allowed) return Answer::ok(request.operations);
                return Answer::items(std::vector<std::string>(request.operations, item(row.status, row.type)));
            };
            b.put_many(0, 100);
            b.run_for(300s, 100ms);
            CHECK(b.told.empty());
            CHECK(b.stats().health == row.health);
            CHECK(b.stats().health_detail.find(row.type) != std::string::npos);
            CHECK(b.script->requests().size() > 5);
            CHECK(b.script->requests().size() < 60); // one probe at a time, with backoff
            allowed = true;
            b.run_for(60s, 50ms);
            CHECK(b.count(Outcome::indexed) == 100);
            for (const auto& one : b.told) CHECK(one.attempts == 1); // nobody was charged
            CHECK(b.stats().health == Health::ok);
            CHECK(b.stats().waiting_for_environment == 0);
            CHECK(b.books_balance());
        }
    }
}

TEST_CASE("operations that alone may not be written wait, seen, and hold nobody else up", "[F028]") {
    Bench b{{.max_batch_operations = 10, .max_in_flight = 2, .retry = {.max_age = unlimited}}};
    bool allowed = false;
    b.script->respond = [&](const test::SeenRequest& request) -> std::optional<Answer> {
        std::vector<std::string> items;
        for (const auto& line : lines(request.body)) {
            if (line.starts_with("{\"index\"")) items.push_back(item(201));
            if (!allowed && line.find("secret") != std::string::npos) items.back() = item(403, "security_exception");
        }
        items.resize(request.operations);
        return Answer::items(items);
    };
    // Now and then a bulk of nothing else among others, and operations in the midst of others.
    std::uint64_t key = 0;
    std::uint64_t secrets = 0;
    for (int second = 0; second < 120; ++second) {
        const bool all = second == 0 || second == 60;
        for (int i = 0; i < 10; ++i) {
            const bool secret = all || (i == 3 && second % 10 == 0);
            secrets += secret ? 1U : 0U;
            b.put(key++, {.index = secret ? "secret" : "logs"});
        }
        b.run_for(1s, 20ms);
        if (second % 60 < 5) continue; // a bulk of nothing else pauses once
        INFO(second);
        CHECK(b.count(Outcome::indexed) == key - secrets);
        CHECK(b.stats().waiting_for_environment == secrets);
        CHECK(b.stats().pending == secrets);
    }
    CHECK(b.script->requests().size() < 500); // no hot loop
    allowed = true;
    b.run_for(31s, 50ms);
    CHECK(b.stats().pending == 0);
    CHECK(b.stats().waiting_for_environment == 0);
    CHECK(b.stats().health == Health::ok);
}

TEST_CASE("what waits for its environment leaves that state however it ends", "[F028]") {
    LetterBench l{{.retry = {.max_age = 60s}}};
    auto& b = l.b;
    std::optional<Answer> second;
    b.put(0, {.id = "a"});
    b.put(1, {.id = "b"});
    b.flush();
    b.script->answer(0, Answer::items({item(403, "security_exception"), item(201)}));
    b.run();
    CHECK(b.stats().waiting_for_environment == 1);
    SECTION("it grows too old") {
        b.script->respond = [](const test::SeenRequest&) { return Answer::unreachable(); };
        b.run_for(90s, 100ms);
    }
    SECTION("it becomes a dead letter") {
        b.script->respond = [](const test::SeenRequest&) { return Answer::items({refusal}); };
        b.run_for(31s, 50ms);
    }
    SECTION("a close gives it up") {
        b.indexer->async_close(0s, [](error_code, const CloseReport&) {});
        b.run();
    }
    CHECK(b.stats().pending == 0);
    CHECK(b.stats().waiting_for_environment == 0);
}

TEST_CASE("lone refusals of different kinds are the operations' own", "[F031]") {
    Bench b{{.max_batch_operations = 1, .max_in_flight = 1}};
    bool turn = false;
    b.script->respond = [&](const test::SeenRequest&) {
        turn = !turn;
        return Answer::status(400,
                              std::string{R"({"error":{"type":")"} + (turn ? "one" : "another") + "_exception\"}}");
    };
    b.put_many(0, 200);
    b.run_for(10s, 50ms);
    CHECK(b.count(Outcome::rejected) == 200);
    CHECK(b.stats().health == Health::ok);
}

TEST_CASE("a run of malformed operations does not keep good ones behind it", "[F031]") {
    // In every bulk so many that no bulk is taken whole, and the first 60 in a row.
    Bench b{{.max_batch_operations = 100, .max_in_flight = 1, .retry = {.max_age = unlimited}}};
    const auto bad = [](const std::string& line) {
        const auto n = std::stoul(line.substr(5));
        return n < 60 || n % 50 == 7;
    };
    b.script->respond = [&](const test::SeenRequest& request) {
        for (const auto& line : lines(request.body))
            if (!line.starts_with("{\"index\"") && bad(line))
                return Answer::status(400, R"({"error":{"type":"illegal_argument_exception"},"status":400})");
        return Answer::ok(request.operations);
    };
    b.put_many(0, 500);
    b.run_for(1h, 200ms);
    CHECK(b.stats().pending == 0);
    CHECK(b.count(Outcome::indexed) == 500 - 60 - 8);
    CHECK(b.count(Outcome::rejected) == 68);
    CHECK(b.stats().health == Health::ok);
    CHECK(b.books_balance());
}

TEST_CASE("a dead letter as a line of JSON holds the operation byte for byte") {
    using namespace std::chrono;
    std::string out;
    const auto now = sys_days{year{2026} / 11 / 24} + hours{9} + minutes{5} + seconds{7};
    append_dead_letter(out,
                       {R"({"index":{"_index":"logs","_id":"a\"b"}})",
                        "{\"text\":\"\xC3\xA9 \\n\"}",
                        "some_type",
                        "said \"no\"",
                        400,
                        3,
                        {},
                        milliseconds{1234}},
                       now);
    const auto letter = boost::json::parse(out);
    CHECK(letter.at("@timestamp") == "2026-11-24T09:05:07Z");
    CHECK(letter.at("status") == 400);
    CHECK(letter.at("type") == "some_type");
    CHECK(letter.at("reason") == "said \"no\"");
    CHECK(letter.at("attempts") == 3);
    CHECK(letter.at("age_ms") == 1234);
    CHECK(letter.at("action") == R"({"index":{"_index":"logs","_id":"a\"b"}})");
    CHECK(letter.at("source") == "{\"text\":\"\xC3\xA9 \\n\"}");
    out.clear();
    append_dead_letter(out, {"{}", "{\"\xFF\"}", "t", "", 400, 1, {}, {}}, now);
    CHECK(boost::json::parse(out).at("source_hex") == "7b22ff227d");
    out.clear();
    append_dead_letter(out, {"{\"delete\":{}}", "", "t", "\xFF", 400, 1, {}, {}}, now);
    CHECK_FALSE(boost::json::parse(out).as_object().contains("source"));
    for (const char* name : {"ticket", "topic", "partition", "offset"})
        CHECK_FALSE(boost::json::parse(out).as_object().contains(name));
    out.clear();
    append_dead_letter(out, {"{}", "{}", "t", "", 400, 1, {3, 1, 18446744073709551615U}, {}, "l\"ogs", 7, 41}, now);
    const auto placed = boost::json::parse(out);
    CHECK(placed.at("ticket") == "18446744073709551615");
    CHECK(placed.at("topic") == "l\"ogs");
    CHECK(placed.at("partition") == 7);
    CHECK(placed.at("offset") == 41);
}
