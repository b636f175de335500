// SPDX-License-Identifier: BSL-1.0
#include "support/intake_parts.hpp"

#include <bulkhead/detail/intake/accumulator.hpp>

#include <chrono>
#include <cstdint>
#include <deque>
#include <random>
#include <utility>
#include <vector>

using namespace bulkhead;
using bulkhead::detail::OfferSize;
using bulkhead_test::batch_of;

namespace {

/// A clock that stands still.
struct StillClock {
    using duration = std::chrono::nanoseconds;
    using rep = duration::rep;
    using period = duration::period;
    using time_point = std::chrono::time_point<StillClock>;
    static constexpr bool is_steady = true;
    static time_point now() noexcept { return time_point{} + std::chrono::hours{1}; }
};
using Accumulated = bulkhead::detail::Accumulator<StillClock>;

IndexerOptions accumulator_options(Overflow overflow) {
    return {.index = "logs",
            .max_batch_operations = 50,
            .max_batch_bytes = 16'384,
            .max_buffered_bytes = 131'072,
            .max_buffered_operations = 1000,
            .overflow = overflow};
}

Accumulated::Placed place_one(Accumulated& all, std::size_t operations, std::size_t bytes, Ticket ticket = {},
                              bool first_in_line = false) {
    const auto batch = batch_of(operations, {}, bytes);
    all.book().offer(operations);
    const auto placed =
        all.place({batch.bytes(), operations}, first_in_line, [&] { all.open().append(batch.encoded(), ticket); });
    if (placed.admission != Admission::accepted) all.book().withdraw(operations);
    return placed;
}

} // namespace

TEST_CASE("the budget is kept at every step, and all of it is free in the end") {
    for (unsigned seed = 0; seed < 30; ++seed) {
        CAPTURE(seed);
        std::mt19937 random{seed};
        const auto options = accumulator_options(seed % 2 == 0 ? Overflow::refuse : Overflow::drop_oldest);
        Accumulated all{options};
        std::deque<bulkhead::detail::Bulk<StillClock::time_point>> taken;
        bulkhead::detail::DroppedTickets dropped;
        const auto take = [&] {
            taken.emplace_back();
            const bool some = all.sealed().pop(taken.back());
            if (!some) taken.pop_back();
            return some;
        };
        const auto settle = [&] {
            auto bulk = std::move(taken.front());
            taken.pop_front();
            bulkhead::detail::Tally tally;
            tally[Outcome::indexed] = bulk.batch.operations();
            all.settle(tally, bulk.batch.footprint(), 0);
            all.epochs().release(bulk.epoch, tally.total());
            (void)all.recycle(std::move(bulk.batch));
        };
        const auto release = [&] {
            while (all.sealed().take_dropped(dropped))
                all.release(dropped.epoch, dropped.tickets.size(), dropped.charge());
        };
        for (int i = 0; i < 600; ++i) {
            const auto ticket = random() % 2 == 0 ? Ticket{.slot = 1} : Ticket{};
            const auto bytes = random() % 50 == 0 ? 20'000 : 10 + random() % 900;
            const auto operations = 1 + random() % 4;
            const bool foretold = all.has_room({batch_of(operations, {}, bytes).bytes(), operations});
            const auto placed = place_one(all, operations, bytes, ticket);
            REQUIRE(foretold == (placed.admission == Admission::accepted));
            if (random() % 40 == 0) (void)all.flush();
            if (random() % 30 == 0 && take() && random() % 2 == 0) settle();
            if (random() % 30 == 0) release();
            const auto stats = all.stats();
            REQUIRE(stats.buffered_bytes <= options.max_buffered_bytes);
            REQUIRE(stats.pending <= options.max_buffered_operations);
            REQUIRE(stats.offered == stats.accepted);
            REQUIRE(stats.accepted == stats.settled() + stats.pending);
        }
        (void)all.flush();
        while (take()) {
        }
        while (!taken.empty()) settle();
        release();
        CHECK(all.epochs().idle());
        CHECK(all.stats().pending == 0);
        std::vector<bulkhead::detail::BulkBatch> freed;
        all.trim(true, freed);
        CHECK(all.stats().buffered_bytes == 0); // no byte is forgotten, and none is given back twice
    }
}

TEST_CASE("the strand has work when a batch is opened or sealed, and not for each operation") {
    Accumulated all{accumulator_options(Overflow::refuse)};
    CHECK(place_one(all, 1, 10).work);
    CHECK_FALSE(place_one(all, 1, 10).work);
    CHECK(place_one(all, 48, 10).work); // by count
    CHECK(all.sealed().size() == 1);
    CHECK(all.oldest() == StillClock::now());
    CHECK(all.stats().sealed_by_count == 1);
    CHECK(place_one(all, 1, 15'000).work);
    CHECK(place_one(all, 1, 15'000).work); // the one before is sealed by bytes
    CHECK(all.stats().sealed_by_bytes == 1);
    CHECK(place_one(all, 1, 200'000).admission == Admission::too_large);
}

TEST_CASE("room that is reserved is not given to others") {
    Accumulated all{accumulator_options(Overflow::refuse)};
    while (place_one(all, 1, 900).admission == Admission::accepted) {
    }
    const OfferSize large{batch_of(40, {}, 900).bytes(), 40};
    CHECK_FALSE(all.has_room(large));
    all.reserve(large);
    bulkhead::detail::Bulk<StillClock::time_point> bulk;
    const auto settle_oldest = [&] {
        REQUIRE(all.sealed().pop(bulk));
        bulkhead::detail::Tally tally;
        tally[Outcome::indexed] = bulk.batch.operations();
        all.settle(tally, bulk.batch.footprint(), 0);
        CHECK(all.recycle(std::move(bulk.batch)).footprint() != 0); // a spare would take what is reserved
    };
    settle_oldest();
    CHECK(place_one(all, 1, 900).admission == Admission::full);
    for (int i = 0; i < 4; ++i) settle_oldest();
    CHECK(place_one(all, 40, 900, {}, true).admission == Admission::accepted);
    CHECK(place_one(all, 1, 900).admission == Admission::accepted); // nothing is reserved any longer
}
