// SPDX-License-Identifier: BSL-1.0
#include "support/allocations.hpp"
#include "support/intake_parts.hpp"

#include <bulkhead/detail/intake/sealed_queue.hpp>

#include <chrono>
#include <new>
#include <utility>

using namespace std::chrono_literals;
using bulkhead::Ticket;
using bulkhead::detail::DroppedTickets;
using bulkhead_test::batch_of;
using bulkhead_test::TimePoint;

namespace {

using Sealed = bulkhead::detail::SealedQueue<TimePoint>;
constexpr Ticket observed{.slot = 1, .generation = 2, .key = 3};

/// Appends a bulk of so many operations that was opened at this second, in the epoch of the same number.
void seal_into(Sealed& queue, std::size_t operations, std::uint64_t second, Ticket ticket = {}) {
    auto batch = batch_of(operations, ticket);
    REQUIRE(queue.push([&] {
        bulkhead::detail::Bulk<TimePoint> bulk;
        bulk.batch = std::move(batch);
        bulk.opened = TimePoint{} + std::chrono::seconds{second};
        bulk.epoch = second;
        return bulk;
    }));
}

} // namespace

TEST_CASE("sealed bulks leave in the order in which they came") {
    Sealed queue{false};
    CHECK(queue.oldest() == TimePoint::max());
    for (const auto second : {4U, 5U, 6U}) seal_into(queue, second, second);
    CHECK(queue.size() == 3);
    bulkhead::detail::Bulk<TimePoint> bulk;
    for (const auto second : {4U, 5U, 6U}) {
        CHECK(queue.oldest() == TimePoint{} + std::chrono::seconds{second});
        REQUIRE(queue.pop(bulk));
        CHECK(bulk.batch.operations() == second);
        CHECK(bulk.epoch == second);
    }
    CHECK_FALSE(queue.pop(bulk));
}

TEST_CASE("dropping would free the bytes of all that is sealed, but for the tickets of observers") {
    Sealed queue{true};
    const auto of_nobody = batch_of(3).footprint();
    const auto of_observer = batch_of(5).footprint();
    seal_into(queue, 3, 1);
    seal_into(queue, 5, 2, observed);
    CHECK(queue.droppable().bytes == of_nobody + of_observer - 5 * sizeof(Ticket));
    CHECK(queue.droppable().operations == 8);
    CHECK(queue.droppable(batch_of(5, observed)).bytes == of_observer - 5 * sizeof(Ticket));
    CHECK(queue.droppable(batch_of(5, observed)).operations == 5);

    bulkhead::detail::Bulk<TimePoint> bulk;
    REQUIRE(queue.pop(bulk));
    CHECK(queue.droppable().bytes == of_observer - 5 * sizeof(Ticket));
    REQUIRE(queue.pop(bulk));
    CHECK(queue.droppable().bytes == 0);
    CHECK(queue.droppable().operations == 0);
}

TEST_CASE("the oldest bulk is dropped, and the tickets of its observers are kept") {
    Sealed queue{true};
    seal_into(queue, 3, 1);
    seal_into(queue, 5, 2, observed);
    const auto promised = queue.droppable().bytes;

    const auto first = queue.drop_oldest();
    CHECK(first.opened == TimePoint{} + 1s);
    CHECK(first.epoch == 1);
    CHECK(first.operations == 3);
    CHECK(first.observed == 0);
    CHECK(first.charge == 0);
    CHECK_FALSE(queue.has_dropped());

    const auto second = queue.drop_oldest();
    CHECK(second.operations == 5);
    CHECK(second.observed == 5);
    CHECK(first.footprint + second.footprint - second.charge == promised);
    CHECK(queue.empty());
    CHECK(queue.droppable().bytes == 0);

    DroppedTickets tickets;
    REQUIRE(queue.take_dropped(tickets));
    CHECK(tickets.epoch == 2);
    CHECK(tickets.tickets == std::vector<Ticket>(5, observed));
    CHECK(tickets.charge() == second.charge);
    CHECK_FALSE(queue.take_dropped(tickets));
}

TEST_CASE("out of memory a bulk is not sealed, and nothing is dropped") {
    Sealed queue{true};
    bool called = false;
    bool pushed = true;
    for (std::uint64_t i = 0; i < 100 && pushed; ++i) { // the queue allocates now and then
        const bulkhead_test::FailingAllocations failing{0};
        called = false;
        pushed = queue.push([&] {
            called = true;
            return bulkhead::detail::Bulk<TimePoint>{};
        });
    }
    CHECK_FALSE(pushed);
    CHECK_FALSE(called);

    Sealed other{true};
    seal_into(other, 4, 1, observed);
    const auto before = other.droppable().bytes;
    {
        const bulkhead_test::FailingAllocations failing{0};
        CHECK_THROWS_AS(other.drop_oldest(), std::bad_alloc);
    }
    CHECK(other.size() == 1);
    CHECK(other.droppable().bytes == before);
    CHECK_FALSE(other.has_dropped());
    CHECK(other.drop_oldest().observed == 4);
}
