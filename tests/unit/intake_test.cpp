// SPDX-License-Identifier: BSL-1.0
#include "support/allocations.hpp"
#include "support/catch.hpp"

#include <bulkhead/intake.hpp>
#include <bulkhead/test/manual_clock.hpp>

#include <set>
#include <string>

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
    // The queue of sealed bulks is a deque, which takes a block now and then; entries and bytes take none.
    CHECK(bulkhead_test::allocations() - before <= 100);
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
