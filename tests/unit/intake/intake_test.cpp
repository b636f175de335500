// SPDX-License-Identifier: BSL-1.0
#include "support/allocations.hpp"
#include "support/catch.hpp"

#include <bulkhead/detail/intake/intake.hpp>
#include <bulkhead/test/manual_clock.hpp>

#include <deque>
#include <random>
#include <set>
#include <string>
#include <vector>

using namespace bulkhead;
using Intake = bulkhead::detail::Intake<test::ManualClock>;

namespace {

/// A producer that is faster than the server: fills the budget whenever something is settled.
struct Saturated {
    explicit Saturated(std::size_t budget)
        : options{.index = "logs", .max_batch_operations = 100, .max_buffered_bytes = budget} {
        REQUIRE(!bulkhead::detail::prepare(Operation{.source = source}, options.index, prepared));
    }
    void fill() {
        while (intake.offer(prepared, Ticket{}, Intake::IfFull::wait).admission == Admission::accepted) ++accepted;
    }
    /// Where the bytes of the bulk were that has now been sent and settled.
    const char* settle_one() {
        Intake::bulk_type bulk;
        REQUIRE(intake.take(bulk));
        const auto* const where = bulk.batch.body().data();
        bulkhead::detail::Tally tally;
        tally[Outcome::indexed] = bulk.batch.operations();
        const auto footprint = bulk.batch.footprint();
        intake.settle(tally, footprint, 0, bulk.epoch, bulk.batch.operations(), std::move(bulk.batch));
        return where;
    }

    std::string source = "{\"m\":\"" + std::string(390, 'x') + "\"}";
    IndexerOptions options;
    Intake intake{options};
    bulkhead::detail::Prepared prepared;
    std::size_t accepted = 0;
};

} // namespace

TEST_CASE("at the limit of the budget the batches' memory goes round: nothing is allocated or freed") {
    Saturated s{1'000'000};
    std::set<const char*> places;
    const auto round = [&] {
        s.fill();
        return s.settle_one();
    };
    for (int i = 0; i < 200; ++i) places.insert(round()); // warm
    places.clear();
    for (int i = 0; i < 100; ++i) places.insert(round());
    const auto warm = places;
    const auto before = bulkhead_test::allocations();
    for (int i = 0; i < 400; ++i) places.insert(round());
    CHECK(places == warm);
    // The queue of sealed bulks is a deque, whose blocks hold at least two of them; entries and bytes take none.
    CHECK(bulkhead_test::allocations() - before <= 400 / 2);
    CHECK(s.accepted > 400 * 100);
}

TEST_CASE("a full budget is used but for less than one batch") {
    Saturated s{1'000'000};
    s.fill();
    for (int i = 0; i < 50; ++i) {
        s.settle_one();
        s.fill();
    }
    const auto stats = s.intake.stats();
    const auto batch = 100 * (s.source.size() + 40 + Batch::operation_overhead);
    CHECK(stats.buffered_bytes <= 1'000'000);
    CHECK(stats.buffered_bytes > 1'000'000 - 2 * batch); // what is open has grown by doubling
    CHECK(stats.pending > 1'000'000 / batch * 100 * 7 / 10);
}

TEST_CASE("after a burst the spare buffers are given back, but for two; a closed intake keeps none") {
    Saturated s{1'000'000};
    s.fill();
    while (s.intake.stats().sealed_batches != 0) s.settle_one();
    REQUIRE(s.intake.offer(s.prepared, Ticket{}).admission == Admission::accepted);
    const auto spares = s.intake.stats().buffered_bytes;
    s.intake.trim();
    CHECK(s.intake.stats().buffered_bytes == spares); // what is open is pending: it may need them soon
    (void)s.intake.flush();
    s.settle_one();
    CHECK(s.intake.stats().pending == 0);
    const auto full = s.intake.stats().buffered_bytes;
    CHECK(full > 200'000);
    s.intake.trim();
    const auto trimmed = s.intake.stats().buffered_bytes;
    CHECK(trimmed > 0);
    CHECK(trimmed < full / 2);
    s.intake.trim();
    CHECK(s.intake.stats().buffered_bytes == trimmed);
    s.intake.close();
    s.intake.trim();
    CHECK(s.intake.stats().buffered_bytes == 0);
}

TEST_CASE("an offer that drops the oldest wakes the strand: their observers are to be told") {
    const IndexerOptions options{
        .index = "logs", .max_batch_operations = 3, .max_buffered_operations = 4, .overflow = Overflow::drop_oldest};
    Intake intake{options};
    bulkhead::detail::Prepared one;
    REQUIRE(!bulkhead::detail::prepare(Operation{.source = R"({"m":1})"}, options.index, one));
    const Ticket observed{.slot = 0, .generation = 1, .key = 7};
    for (int i = 0; i < 4; ++i) REQUIRE(intake.offer(one, observed).admission == Admission::accepted);
    intake.begin_pump(test::ManualClock::now());

    const auto offered = intake.offer(one, Ticket{}); // into the open batch, which needs nobody
    CHECK(offered.admission == Admission::accepted);
    CHECK(offered.wake);
    CHECK(intake.stats().dropped == 3);
    Intake::Dropped dropped;
    REQUIRE(intake.take_dropped(dropped));
    CHECK(dropped.tickets == std::vector<Ticket>(3, observed));
}

TEST_CASE("a flush waits until the observers of what was dropped are notified") {
    const IndexerOptions options{
        .index = "logs", .max_batch_operations = 3, .max_buffered_operations = 4, .overflow = Overflow::drop_oldest};
    Intake intake{options};
    bulkhead::detail::Prepared one;
    REQUIRE(!bulkhead::detail::prepare(Operation{.source = R"({"m":1})"}, options.index, one));
    for (int i = 0; i < 3; ++i) REQUIRE(intake.offer(one, Ticket{.slot = 0}).admission == Admission::accepted);
    const auto flushed = intake.flush();
    for (int i = 0; i < 2; ++i) REQUIRE(intake.offer(one, Ticket{}).admission == Admission::accepted);
    REQUIRE(intake.stats().dropped == 3);
    CHECK_FALSE(intake.drained_before(flushed));
    Intake::Dropped dropped;
    REQUIRE(intake.take_dropped(dropped));
    CHECK_FALSE(intake.drained_before(flushed)); // their notification is on its way
    intake.release(dropped.epoch, dropped.tickets.size(), dropped.charge());
    CHECK(intake.drained_before(flushed));
}

namespace {

/// An intake whose strand is the test: it takes bulks, holds them, and settles them in any order.
struct IntakeLife {
    explicit IntakeLife(IndexerOptions made) : options{std::move(made)} {}
    /// Offers one operation of so many encoded bytes.
    Admission put(std::size_t bytes, Ticket ticket = {}) {
        bulkhead::detail::Prepared prepared;
        REQUIRE_FALSE(bulkhead::detail::prepare(Operation{.index = "i", .source = source_of(bytes)}, "i", prepared));
        const bool foretold = intake.has_room(std::max<std::size_t>(bytes, 33), 1);
        const auto admission = intake.offer(prepared, ticket).admission;
        CHECK(foretold == (admission == Admission::accepted));
        return admission;
    }
    std::string_view source_of(std::size_t bytes) {
        constexpr std::size_t around = sizeof(R"({"index":{"_index":"i"}})") + sizeof(R"({"a":""})");
        source = "{\"a\":\"" + std::string(bytes - std::min(bytes, around), 'x') + "\"}";
        return source;
    }
    /// One operation with which the budget is used up to the last byte.
    Admission put_the_whole_budget() { return put(options.max_buffered_bytes - Batch::operation_overhead); }
    bool take() {
        Intake::bulk_type bulk;
        if (!intake.take(bulk)) return false;
        taken.push_back(std::move(bulk));
        return true;
    }
    void settle(std::size_t which) {
        auto bulk = std::move(taken[which]);
        taken.erase(taken.begin() + static_cast<std::ptrdiff_t>(which));
        bulkhead::detail::Tally tally;
        const auto operations = bulk.batch.operations();
        tally[Outcome::indexed] = operations;
        const auto footprint = bulk.batch.footprint();
        intake.settle(tally, footprint, 0, bulk.epoch, operations, std::move(bulk.batch));
    }
    void tell_of_dropped() {
        for (Intake::Dropped dropped; intake.take_dropped(dropped);)
            intake.release(dropped.epoch, dropped.tickets.size(), dropped.charge());
    }
    void drain() {
        (void)intake.flush();
        while (take()) {
        }
        while (!taken.empty()) settle(0);
        tell_of_dropped();
    }
    std::string source;
    IndexerOptions options;
    Intake intake{options};
    std::deque<Intake::bulk_type> taken;
};

IndexerOptions small_budget(Overflow overflow) {
    return {.index = "i", .max_batch_operations = 10'000, .max_buffered_bytes = 1 << 20, .overflow = overflow};
}

} // namespace

TEST_CASE("what fits the budget is taken when nothing is pending, whatever the buffers that were kept", "[F202]") {
    for (unsigned seed = 0; seed < 40; ++seed) {
        INFO("seed " << seed);
        std::mt19937 random{seed};
        IntakeLife life{small_budget(seed % 2 == 0 ? Overflow::refuse : Overflow::drop_oldest)};
        const auto bursts = 1 + random() % 4;
        for (unsigned burst = 0; burst < bursts; ++burst) {
            const std::size_t size = 60 + random() % (random() % 4 == 0 ? 400'000 : 200);
            const auto many = 1 + random() % (size > 1000 ? 100 : 3000);
            for (unsigned n = 0; n < many; ++n) {
                (void)life.put(size);
                if (random() % 100 == 0) (void)life.intake.flush();
                if (random() % 50 == 0 && life.take() && random() % 2 == 0) life.settle(0);
            }
            life.drain();
            if (random() % 2 == 0) life.intake.trim();
            if (random() % 2 == 0) CHECK_FALSE(life.intake.change(Limits{.max_in_flight = 1 + random() % 8}));
        }
        REQUIRE(life.intake.idle());
        CHECK(life.put_the_whole_budget() == Admission::accepted);
        CHECK(life.intake.stats().buffered_bytes <= life.options.max_buffered_bytes);
    }
}

TEST_CASE("a budget that became smaller takes what fits it when nothing is pending", "[F202]") {
    IntakeLife life{small_budget(Overflow::refuse)};
    for (int i = 0; i < 300; ++i) REQUIRE(life.put(300) == Admission::accepted);
    life.drain();
    REQUIRE(life.intake.stats().buffered_bytes > 100'000);
    REQUIRE_FALSE(life.intake.change(Limits{.max_buffered_bytes = 100'000}));
    life.options.max_buffered_bytes = 100'000;
    CHECK(life.put_the_whole_budget() == Admission::accepted);
}

TEST_CASE("an offer for which something is dropped is taken: nothing is dropped in vain", "[F203]") {
    for (unsigned seed = 0; seed < 60; ++seed) {
        INFO("seed " << seed);
        std::mt19937 random{seed};
        IntakeLife life{small_budget(Overflow::drop_oldest)};
        auto per_flush = 1 + random() % 200;
        const std::size_t size = 100 + random() % 2000;
        std::size_t in_batch = 0;
        for (int n = 0; n < 1500; ++n) {
            const auto before = life.intake.stats();
            const auto observed = random() % 2 == 0 ? Ticket{.slot = 0} : Ticket{};
            const auto large = random() % 200 == 0 ? 300'000 + random() % 700'000 : size;
            const auto admission = life.put(large, observed);
            const auto now = life.intake.stats();
            if (admission != Admission::accepted && now.dropped != before.dropped)
                FAIL("operation " << n << " is refused, and " << now.dropped - before.dropped << " were dropped");
            if (random() % 20 == 0) life.tell_of_dropped();
            if (++in_batch < per_flush) continue;
            (void)life.intake.flush();
            in_batch = 0;
            per_flush = 1 + random() % 300;
            if (life.taken.size() < 4) (void)life.take();
            if (random() % 10 == 0 && !life.taken.empty()) life.settle(random() % life.taken.size());
        }
    }
}

TEST_CASE("drop_oldest refuses only what would not fit if all that is sealed were dropped", "[F203]") {
    IntakeLife life{small_budget(Overflow::drop_oldest)};
    for (int i = 0; i < 100; ++i) { // of nobody: nothing of them stays behind
        REQUIRE(life.put(100) == Admission::accepted);
        (void)life.intake.flush();
    }
    CHECK(life.put_the_whole_budget() == Admission::accepted);
    CHECK(life.intake.stats().dropped == 100);
    CHECK(life.intake.stats().pending == 1);
}
