// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"
#include "support/indexer_bench.hpp"

using namespace bench;
using bulkhead::IndexerEvent;

// What `on_event` tells an operator. Virtual time.

namespace {

struct Heard {
    std::vector<std::string> lines;
    std::vector<ManualClock::time_point> at;
    [[nodiscard]] auto hook() {
        return [this](const IndexerEvent& event) {
            lines.push_back(to_text(event));
            at.push_back(ManualClock::now());
        };
    }
    [[nodiscard]] std::size_t count(std::string_view line) const {
        return static_cast<std::size_t>(std::count(lines.begin(), lines.end(), line));
    }
};

} // namespace

TEST_CASE("an outage is told at once, and over", "[events]") {
    Heard heard;
    Bench b{{.on_event = heard.hook()}};
    b.put(0);
    b.flush();
    b.script->answer(0, Answer::status(503));
    b.run();
    CHECK(heard.lines ==
          std::vector<std::string>{"backing_off: http_503", "1 request failed: server_error (http_503, status 503)"});
    b.run_for(10s, 50ms);
    REQUIRE(b.script->requests().size() == 2);
    b.script->answer(1, Answer::items({item(201)}));
    b.run();
    REQUIRE(heard.lines.size() == 3);
    CHECK(heard.lines.back() == "ok");
}

TEST_CASE("what the network says is told, what a server says is not", "[events]") {
    using Kind = IndexerEvent::Kind;
    IndexerEvent event{.kind = Kind::requests_failed,
                       .count = 4,
                       .failure = bulkhead::FailureClass::transport,
                       .type = "transport",
                       .reason = "es1:9200: Connection refused"};
    CHECK(to_text(event) == "4 requests failed: transport (es1:9200: Connection refused)");
    event.reason = {};
    CHECK(to_text(event) == "4 requests failed: transport (transport)");
    event.status = 200; // an answer that broke: its beginning may repeat a document
    event.reason = "what a server wrote";
    CHECK(to_text(event) == "4 requests failed: transport (transport, status 200)");
    event = {.kind = Kind::operations_failed,
             .count = 1,
             .failure = bulkhead::FailureClass::client_error,
             .type = "document_parsing_exception",
             .status = 400,
             .reason = "failed to parse [secret]"};
    CHECK(to_text(event) == "1 operation met: client_error (document_parsing_exception, status 400)");
}

TEST_CASE("a failure of the indexer's own is told in words", "[events][F206]") {
    const auto line = [](std::string_view type) {
        return to_text(IndexerEvent{.kind = IndexerEvent::Kind::operations_failed,
                                    .count = 4,
                                    .failure = bulkhead::FailureClass::local,
                                    .type = type,
                                    .reason = "what was wrong with {\"password\":1}"});
    };
    CHECK(line("closed") == "4 operations met: local (closed: not settled before the close)");
    CHECK(line("too_old") == "4 operations met: local (too_old: older than max_age)");
    CHECK(line("overflow") == "4 operations met: local (overflow: dropped to make room)");
    CHECK(line("invalid_operation") == "4 operations met: local (invalid_operation: malformed, and never sent)");
    CHECK(line("observer_threw") == "4 operations met: local (observer_threw: an observer threw an exception)");
    CHECK(line("out_of_memory") == "4 operations met: local (out_of_memory)");
}

TEST_CASE("a flood of failures is a line a second, and none is forgotten", "[events]") {
    Heard heard;
    Bench b{{.max_batch_operations = 10, .max_in_flight = 1, .on_event = heard.hook()}};
    const auto began = ManualClock::now();
    for (std::uint64_t i = 0; i < 100; ++i) {
        b.put_many(10 * i, 10);
        b.run();
        std::vector items(10, item(201));
        items[3] = item(400);
        b.script->answer(i, Answer::items(items));
        b.run_for(100ms);
    }
    const auto seconds = (ManualClock::now() - began) / 1s;
    CHECK(heard.count("10 operations ended as rejected") >= 8);
    CHECK(heard.lines.size() <= static_cast<std::size_t>(2 * (seconds + 2)));
    b.run_for(2s, 100ms); // the last of them, though nothing happens any more
    std::uint64_t rejected = 0;
    for (const auto& line : heard.lines)
        if (line.find("ended as rejected") != std::string::npos) rejected += std::stoull(line);
    CHECK(rejected == b.stats().rejected);
    CHECK(rejected == 100);
}

TEST_CASE("what is refused is told with its reason, and the rest before a close completes", "[events]") {
    Heard heard;
    Bench b{{.max_buffered_operations = 2, .on_event = heard.hook()}};
    for (std::uint64_t i = 0; i < 5; ++i) static_cast<void>(b.indexer->try_enqueue({.source = "{}"}));
    static_cast<void>(b.indexer->try_enqueue({.source = "nonsense"}));
    std::size_t at_close = 0;
    b.indexer->async_close(0ms, [&](error_code, const bulkhead::CloseReport&) { at_close = heard.lines.size(); });
    b.run();
    CHECK(heard.count("3 operations refused: full") == 1);
    CHECK(heard.count("1 operation refused: invalid") == 1);
    CHECK(heard.count("2 operations ended as unknown") == 1); // they were on their way
    CHECK(at_close == heard.lines.size());
    CHECK(at_close != 0);
}

TEST_CASE("a refusal is told although nothing else happens, and a flood of them lets the strand sleep", "[events]") {
    Heard heard;
    Bench b{{.index = "logs", .max_buffered_operations = 2, .on_event = heard.hook()}};
    SECTION("invalid") {
        const auto refused = [&] { return b.indexer->try_enqueue({.source = "nonsense"}); };
        CHECK(refused() == Admission::invalid);
        b.run();
        CHECK(heard.count("1 operation refused: invalid") == 1);
        heard.lines.clear();
        std::size_t runs = 0;
        for (int i = 0; i < 1000; ++i) {
            CHECK(refused() == Admission::invalid);
            b.context.restart();
            runs += b.context.poll();
        }
        CHECK(runs <= 2);
        CHECK(heard.lines.empty());
        b.run_for(1s, 100ms);
        CHECK(heard.count("1000 operations refused: invalid") == 1);
        b.run_for(1s, 100ms);
        CHECK(refused() == Admission::invalid); // and again at once
        b.run();
        CHECK(heard.count("1 operation refused: invalid") == 1);
    }
    SECTION("full") { // of operations in flight, which the server does not answer
        b.put(0);
        b.put(1);
        b.flush();
        b.run();
        CHECK(b.indexer->try_enqueue({.source = "{}"}) == Admission::full);
        b.run();
        CHECK(heard.lines == std::vector<std::string>{"1 operation refused: full"});
    }
    SECTION("too large") {
        bulkhead::Batch scratch;
        for (int i = 0; i < 3; ++i) CHECK(!scratch.append({.source = "{}"}, "logs"));
        CHECK(b.indexer->try_enqueue(scratch) == Admission::too_large);
        b.run();
        CHECK(heard.lines == std::vector<std::string>{"3 operations refused: too_large"});
    }
    SECTION("closed: the context may be gone") {
        b.indexer->async_close(0ms, [](error_code, const bulkhead::CloseReport&) {});
        b.run();
        CHECK(b.indexer->try_enqueue({.source = "{}"}) == Admission::closed);
        b.context.restart();
        CHECK(b.context.poll() == 0);
        CHECK(heard.lines.empty());
    }
}

TEST_CASE("a hook that throws or calls back does no harm", "[events]") {
    std::optional<Bench> b;
    std::size_t told = 0;
    b.emplace(bulkhead::IndexerOptions{.on_event = [&](const IndexerEvent& /*event*/) {
        ++told;
        b->indexer->enqueue({.source = "{}"});
        throw std::runtime_error{"no"};
    }});
    b->put(0);
    b->flush();
    b->script->answer(0, Answer::items({item(400)}));
    b->run_for(5s, 100ms);
    CHECK(told == 2);
    CHECK(b->stats().accepted == 3);
}

TEST_CASE("how loud an event is", "[events]") {
    using Kind = IndexerEvent::Kind;
    using Severity = IndexerEvent::Severity;
    CHECK(IndexerEvent{.kind = Kind::health}.severity() == Severity::info);
    CHECK(IndexerEvent{.kind = Kind::health, .health = bulkhead::Health::flooded}.severity() == Severity::warning);
    CHECK(IndexerEvent{.kind = Kind::requests_failed}.severity() == Severity::warning);
    CHECK(IndexerEvent{.kind = Kind::operations_ended, .outcome = Outcome::unknown}.severity() == Severity::error);
    CHECK(IndexerEvent{.kind = Kind::operations_ended, .outcome = Outcome::dead_lettered}.severity() ==
          Severity::warning);
    CHECK(to_string(Kind::operations_failed) == "operations_failed");
}

TEST_CASE("after a close nothing is told any more: what hears may be gone", "[events]") {
    Heard heard;
    Bench b{{.on_event = heard.hook()}};
    b.put(0);
    b.indexer->async_close(0ms, [](error_code, const bulkhead::CloseReport&) {});
    b.run();
    const auto told = heard.lines.size();
    CHECK(told != 0);
    CHECK(b.put(1) == Admission::closed);
    ManualClock::advance(5s);
    b.indexer->async_flush(1s, [](error_code) {});
    b.run_for(5s, 100ms);
    CHECK(heard.lines.size() == told);
}
