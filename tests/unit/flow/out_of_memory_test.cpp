// SPDX-License-Identifier: BSL-1.0
#include "support/allocations.hpp"
#include "support/catch.hpp"

#include <bulkhead/dead_letter.hpp>
#include <bulkhead/detail/encode/client_id.hpp>
#include <bulkhead/detail/intake/intake.hpp>
#include <bulkhead/detail/judge/answer_parser.hpp>
#include <bulkhead/detail/send/id_sequencer.hpp>
#include <bulkhead/kafka/offset_tracker.hpp>
#include <bulkhead/test/manual_clock.hpp>

#include <map>
#include <optional>
#include <string>
#include <vector>

using namespace bulkhead;
using Intake = bulkhead::detail::Intake<test::ManualClock>;

// Memory runs out at the 1st, 2nd, 3rd … allocation, until none is left to fail: what has no part in Asio keeps its
// books. (A batch's bytes come from realloc, which does not fail here; see batch_test.cpp for the batch itself.)

namespace {

/// Runs `life(attempt)` with every allocation failing from the n-th on, for n = 0, 1, 2, …, until nothing fails.
/// `attempt(f)` calls f, true when it ended, false when memory ran out in it. Then `check` is called with what `life`
/// returned, and memory is there again. Returns how many allocations there were to fail.
template <class Life, class Check>
std::size_t until_none_fails(const Life& life, const Check& check) {
    for (std::size_t successes = 0;; ++successes) {
        REQUIRE(successes < 10'000);
        const auto refused = bulkhead_test::refused_allocations();
        auto subject = life.make();
        {
            const bulkhead_test::FailingAllocations from_now{successes};
            life.live(subject, [&](auto f) {
                try {
                    f();
                    return true;
                } catch (const std::bad_alloc&) {
                    return false;
                }
            });
        }
        INFO(successes);
        check(subject);
        if (bulkhead_test::refused_allocations() == refused) return successes;
    }
}
template <class Make, class Live>
struct Life {
    Make make;
    Live live;
};
template <class Make, class Live>
Life(Make, Live) -> Life<Make, Live>;

std::size_t operations_in(std::string_view body) {
    std::size_t lines = 0;
    for (const char c : body) lines += c == '\n' ? 1U : 0U;
    return lines / 2;
}
const std::string long_index = "an-index-with-a-name-too-long-for-a-small-string";
const std::string long_id = "an-id-that-is-too-long-for-a-small-string";

/// An intake, what it said, and what was taken out of it.
struct Books {
    explicit Books(IndexerOptions options) : intake{std::make_unique<Intake>(options)} {}
    std::unique_ptr<Intake> intake;
    std::uint64_t accepted = 0;
    std::uint64_t taken = 0;
    std::vector<std::uint64_t> flushed; ///< epochs that a flush returned, with nothing open after them
    std::uint64_t dropped = 0;

    void count(Intake::Offered offered, std::uint64_t operations) {
        if (offered.admission == Admission::accepted) accepted += operations;
    }
    /// Settles the oldest sealed batch, as the strand does.
    template <class Attempt>
    bool settle_one(const Attempt& attempt) {
        Intake::bulk_type bulk;
        if (!intake->take(bulk)) return false;
        const auto operations = operations_in(bulk.batch.body());
        taken += operations;
        bulkhead::detail::Tally tally;
        tally[Outcome::indexed] = operations;
        const auto footprint = bulk.batch.footprint();
        attempt([&] { intake->settle(tally, footprint, 0, bulk.epoch, operations, std::move(bulk.batch)); });
        return true;
    }
    void collect_dropped() {
        Intake::Dropped one;
        while (intake->take_dropped(one)) {
            dropped += one.tickets.size();
            intake->release(one.epoch, one.tickets.size(), one.charge());
        }
    }
};
bool balanced(const Stats& s) { return s.offered == s.accepted + s.refused() && s.accepted == s.settled() + s.pending; }

} // namespace

TEST_CASE("out of memory anywhere in the intake: the counters stay true, and nothing is lost or forgotten", "[F106]") {
    for (const auto overflow : {Overflow::refuse, Overflow::drop_oldest}) {
        for (std::size_t before = 0; before < 12; ++before) { // the queue of sealed batches allocates now and then
            CAPTURE(before, overflow == Overflow::drop_oldest);
            const IndexerOptions options{
                .index = "logs", .max_batch_operations = 2, .max_buffered_operations = 24, .overflow = overflow};
            Batch scratch;
            REQUIRE_FALSE(scratch.append({.index = long_index, .source = R"({"n":1})"}));
            REQUIRE_FALSE(scratch.append({.index = long_index, .id = long_id, .source = R"({"n":2})"}));
            bulkhead::detail::Prepared plain;
            bulkhead::detail::Prepared other;
            const Operation op{.source = R"({"n":3})"};
            const Operation other_op{.index = long_index, .id = long_id, .source = R"({"n":4})"};
            REQUIRE_FALSE(bulkhead::detail::prepare(op, options.index, plain));
            REQUIRE_FALSE(bulkhead::detail::prepare(other_op, options.index, other));
            const Ticket ticket{1, 0, 7};
            const auto make = [&] {
                Books books{options};
                for (std::size_t i = 0; i < before; ++i) books.count(books.intake->offer(scratch, ticket), 2);
                return books;
            };
            const auto live = [&](Books& books, const auto& attempt) {
                auto& intake = *books.intake;
                const auto flush = [&] {
                    std::uint64_t epoch = 0;
                    if (attempt([&] { epoch = intake.flush(); }) && intake.flush_due() != Intake::time_point::max())
                        books.flushed.push_back(epoch); // it said that all travels, and something is still open
                };
                for (int round = 0; round < 3; ++round) {
                    for (int i = 0; i < 3; ++i) {
                        attempt([&] { books.count(intake.offer(plain, ticket), 1); });
                        attempt([&] { books.count(intake.offer(other, ticket), 1); });
                        attempt([&] { books.count(intake.offer(scratch, ticket), 2); });
                        attempt([&] { intake.note_failure(long_index, long_id, 400); });
                    }
                    attempt([&] { books.count(intake.offer(plain, ticket), 1); });
                    flush();
                    books.settle_one(attempt);
                    books.settle_one(attempt);
                    attempt([&] { (void)intake.change({.max_in_flight = 2 + static_cast<std::size_t>(round)}); });
                    attempt([&] { intake.trim(); });
                }
            };
            const auto check = [&](Books& books) {
                auto& intake = *books.intake;
                REQUIRE(balanced(intake.stats()));
                REQUIRE(books.flushed.empty());
                REQUIRE(intake.stats().accepted == books.accepted);
                // And now that there is memory, everything comes to its end.
                const auto epoch = intake.flush();
                while (books.settle_one([](auto f) { f(); })) {
                }
                books.collect_dropped();
                const auto stats = intake.stats();
                REQUIRE(balanced(stats));
                REQUIRE(stats.pending == 0);
                REQUIRE(books.taken + stats.dropped == books.accepted);
                REQUIRE(books.dropped == stats.dropped);
                REQUIRE(intake.drained_before(epoch));
                REQUIRE(intake.idle());
                intake.close();
                intake.trim();
                REQUIRE(intake.stats().buffered_bytes == 0);
            };
            CHECK(until_none_fails(Life{make, live}, check) > 5);
        }
    }
}

TEST_CASE("out of memory while ids are made: the batch is as it was", "[F106]") {
    Batch batch;
    for (int i = 0; i < 20; ++i) {
        REQUIRE_FALSE(batch.append({.index = long_index, .source = R"({"n":1})"}));
        REQUIRE_FALSE(batch.append({.index = long_index, .id = long_id, .source = R"({"n":2})"}));
    }
    const std::string body{batch.body()};
    bulkhead::detail::ClientIds ids;
    struct Result {
        std::optional<Batch> with_ids;
    };
    const auto live = [&](Result& result, const auto& attempt) {
        attempt([&] { result.with_ids = bulkhead::detail::with_client_ids(batch, ids); });
    };
    const auto check = [&](Result& result) {
        REQUIRE(batch.body() == body);
        REQUIRE(batch.operations() == 40);
        if (result.with_ids) REQUIRE(result.with_ids->operations() == 40);
    };
    CHECK(until_none_fails(Life{[] { return Result{}; }, live}, check) > 2);
}

TEST_CASE("out of memory while operations wait for their id: who waits is in line, and the others are not", "[F076]") {
    struct Lines {
        bulkhead::detail::IdOrder<std::uint64_t> order;
        std::map<std::uint64_t, bool> held;
        std::map<std::uint64_t, std::vector<std::uint64_t>> waiting;
        std::size_t count = 0;
    };
    const auto live = [](Lines& lines, const auto& attempt) {
        for (std::uint64_t key = 0; key < 40; ++key) {
            // What the test itself notes was made before.
            attempt([&] { lines.held[key] = lines.order.claim(key); });
            for (std::uint64_t i = 0; i < 3 && lines.held[key]; ++i)
                if (attempt([&] { lines.order.wait({key, key * 10 + i}); })) {
                    lines.waiting[key].push_back(key * 10 + i);
                    ++lines.count;
                }
        }
    };
    const auto make = [] {
        Lines lines;
        for (std::uint64_t key = 0; key < 40; ++key) {
            lines.held[key] = false;
            lines.waiting[key].reserve(3);
        }
        return lines;
    };
    const auto check = [](Lines& lines) {
        REQUIRE(lines.order.waiting() == lines.count);
        for (auto& [key, held] : lines.held) {
            if (!held) {
                REQUIRE(lines.order.claim(key)); // nobody had it
                continue;
            }
            REQUIRE_FALSE(lines.order.claim(key));
            for (const auto operation : lines.waiting[key]) {
                lines.order.release(key);
                REQUIRE(lines.order.released() != nullptr);
                REQUIRE(*lines.order.released() == operation);
                lines.order.pop_released();
            }
            lines.order.release(key);
            REQUIRE(lines.order.released() == nullptr);
        }
        REQUIRE(lines.order.waiting() == 0);
    };
    CHECK(until_none_fails(Life{make, live}, check) > 40);
}

TEST_CASE("out of memory while an answer is read: it proves nothing, and the next one is read as ever", "[F019]") {
    std::string body = R"({"took":1,"errors":true,"items":[)";
    for (int i = 0; i < 40; ++i) {
        if (i != 0) body += ',';
        if (i % 2 == 0) body += R"({"index":{"status":201}})";
        if (i % 2 == 1)
            body += R"({"index":{"status":400,"error":{"type":"document_parsing_exception","reason":"number )" +
                    std::to_string(i) + R"( of a text that is too long for a small string"}}})";
    }
    body += "]}";
    struct Reader {
        std::unique_ptr<BulkAnswerParser> parser = std::make_unique<BulkAnswerParser>();
        bool started = false, read = false, whole = false;
    };
    for (const std::size_t piece : {body.size(), std::size_t{7}}) {
        const auto read = [&](BulkAnswerParser& parser) {
            for (std::string_view rest = body; !rest.empty(); rest.remove_prefix(std::min(piece, rest.size())))
                if (!parser.on_body(rest.substr(0, piece))) return false;
            return true;
        };
        const auto live = [&](Reader& reader, const auto& attempt) {
            reader.started = attempt([&] { reader.parser->start(40); });
            if (!reader.started) return;
            const bool ended = attempt([&] { reader.read = read(*reader.parser); });
            bool whole = false;
            attempt([&] { whole = reader.parser->finish(); });
            reader.whole = whole;
            reader.read = ended && reader.read;
        };
        const auto check = [&](Reader& reader) {
            REQUIRE(reader.whole == reader.read); // never proven by what was not read
            reader.parser->start(40);
            REQUIRE(read(*reader.parser));
            REQUIRE(reader.parser->finish());
            REQUIRE(reader.parser->items().size() == 40);
            for (std::size_t i = 0; i < 40; ++i) {
                const auto& item = reader.parser->items()[i];
                REQUIRE(item.status == (i % 2 == 0 ? 201 : 400));
                const auto* const error = reader.parser->error_of(item);
                REQUIRE((error != nullptr) == (i % 2 == 1));
                if (error != nullptr) REQUIRE(error->reason.starts_with("number " + std::to_string(i) + " "));
            }
        };
        CHECK(until_none_fails(Life{[] { return Reader{}; }, live}, check) > 10);
    }
}

TEST_CASE("out of memory while records are delivered: the tracker is as it was", "[F131]") {
    struct Tracked {
        OffsetTracker tracker;
        std::vector<OffsetTracker::Sequence> sequences;
        std::int64_t offset = 0;
    };
    const auto make = [] {
        Tracked tracked;
        tracked.sequences.reserve(1000);
        return tracked;
    };
    const auto live = [](Tracked& tracked, const auto& attempt) {
        for (int i = 0; i < 1000; ++i)
            if (attempt([&] { tracked.sequences.push_back(tracked.tracker.delivered(tracked.offset, 1)); }))
                ++tracked.offset; // otherwise the record comes again
    };
    const auto check = [](Tracked& tracked) {
        REQUIRE(tracked.tracker.records() == tracked.sequences.size());
        REQUIRE(tracked.tracker.next().value_or(0) == tracked.offset);
        if (!tracked.sequences.empty()) REQUIRE(tracked.tracker.watermark() == 0);
        for (const auto sequence : tracked.sequences)
            REQUIRE(tracked.tracker.settle(sequence) == OffsetTracker::Step::settled);
        REQUIRE(tracked.tracker.waiting() == 0);
        if (!tracked.sequences.empty()) REQUIRE(tracked.tracker.watermark() == tracked.offset);
    };
    CHECK(until_none_fails(Life{make, live}, check) > 3);
}

TEST_CASE("the gauge of a flood needs no memory") {
    bulkhead::detail::FloodGauge gauge{{.percent = 50, .operations = 100}};
    const auto before = bulkhead_test::allocations();
    bool flooded = false;
    for (int i = 0; i < 1000; ++i) flooded = gauge.judge(10, i < 500 ? 10 : 0) || flooded;
    CHECK(bulkhead_test::allocations() == before);
    CHECK(flooded);
}

TEST_CASE("ids that were under way leave no memory behind when they have ended", "[F194]") {
    bulkhead::detail::IdOrder<int> order;
    const auto before = bulkhead_test::bytes_in_use();
    const auto key = [](std::uint64_t n) { return n * 0x9E3779B97F4A7C15ULL; };
    for (std::uint64_t n = 0; n < 100'000; ++n) REQUIRE(order.claim(key(n)));
    order.trim();
    CHECK(bulkhead_test::bytes_in_use() - before > 1'000'000); // they are held
    for (std::uint64_t n = 0; n < 100'000; ++n) order.release(key(n));
    order.trim();
    CHECK(bulkhead_test::bytes_in_use() - before < 1000);
    REQUIRE(order.claim(key(1)));
    REQUIRE_FALSE(order.claim(key(1)));
}
