// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/kafka/detail/partition_table.hpp>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

using namespace bulkhead;
using bulkhead::detail::Partition;
using bulkhead::detail::PartitionTable;

namespace {

/// An assigned partition of which these offsets were delivered, each with one operation.
Partition partition_with(std::int64_t from, std::int64_t to) {
    Partition p;
    p.assigned = true;
    p.floor = from;
    for (auto offset = from; offset < to; ++offset) static_cast<void>(p.tracker.delivered(offset, 1));
    return p;
}

} // namespace

TEST_CASE("partitions are found by name, and keep their address and their slot", "[kafka_source][partition_table]") {
    PartitionTable table;
    CHECK(table.find("a", 0) == nullptr);
    std::vector<Partition*> added;
    for (const auto* const topic : {"a", "b", "c"})
        for (std::int32_t number = 0; number < 40; number += 3) added.push_back(&table.find_or_add(topic, number));
    std::size_t i = 0;
    for (const std::string topic : {"a", "b", "c"}) {
        for (std::int32_t number = 0; number < 40; number += 3, ++i) {
            CHECK(table.find(topic, number) == added[i]);
            CHECK(&table.find_or_add(topic, number) == added[i]);
            CHECK(added[i]->topic == topic);
            CHECK(added[i]->number == number);
            CHECK(added[i]->slot == i);
            CHECK(table.find(topic, number + 1) == nullptr);
        }
    }
    CHECK(table.find("d", 0) == nullptr);
    CHECK(table.find("a", -1) == nullptr);
    CHECK(table.find("a", 1000) == nullptr);
    CHECK(table.find_assigned("a", 3) == nullptr);
    table.find("a", 3)->assigned = table.find("c", 0)->assigned = true;
    CHECK(table.find_assigned("a", 3) == added[1]);
    const auto assigned = table.assigned();
    REQUIRE(assigned.size() == 2);
    CHECK(assigned[0].topic == "a");
    CHECK(assigned[0].partition == 3);
    CHECK(assigned[1].topic == "c");
    CHECK_THROWS_AS(table.find_or_add("a", -1), std::out_of_range);
    CHECK_THROWS_AS(table.find_or_add("a", 1 << 20), std::out_of_range);
}

TEST_CASE("a ticket's key names the partition and the number", "[kafka_source][partition_table]") {
    PartitionTable table;
    for (std::int32_t number = 0; number < 10; ++number) static_cast<void>(table.find_or_add("a", number));
    const auto largest = (std::uint64_t{1} << 44) - 1;
    for (std::int32_t number = 0; number < 10; ++number) {
        auto& p = *table.find("a", number);
        for (const std::uint64_t below : {std::uint64_t{0}, std::uint64_t{1}, largest}) {
            CHECK(&table.by_key(PartitionTable::key(p, below)) == &p);
            CHECK(PartitionTable::number_of(PartitionTable::key(p, below)) == below);
        }
        CHECK(&table.by_key(PartitionTable::key(p, largest + 1)) == &p); // a number never reaches the slot
    }
}

TEST_CASE("a dirty partition is listed once, and stays listed until it is done with",
          "[kafka_source][partition_table]") {
    PartitionTable table;
    for (std::int32_t number = 0; number < 4; ++number) {
        auto& p = table.find_or_add("a", number);
        p.assigned = number != 1;
        table.mark_dirty(p);
        table.mark_dirty(p);
    }
    std::vector<std::int32_t> seen;
    const auto clean = [&](std::int32_t refused) {
        seen.clear();
        table.clean([&](const Partition& p) {
            seen.push_back(p.number);
            return p.number != refused;
        });
        return seen;
    };
    using Numbers = std::vector<std::int32_t>;
    CHECK(clean(2) == Numbers{0, 2, 3}); // 1 is not assigned
    CHECK(clean(2) == Numbers{2});
    CHECK(clean(-1) == Numbers{2});
    CHECK(clean(-1).empty());
    table.mark_dirty(*table.find("a", 0));
    CHECK(clean(-1) == Numbers{0});
}

TEST_CASE("a watermark is stored once, and below its floor only when the group must follow",
          "[kafka_source][partition_table]") {
    auto p = partition_with(10, 14);
    CHECK_FALSE(p.storable()); // nothing is settled
    p.exact = true;
    CHECK(p.storable() == 10); // the first of an assignment, be the group's offset higher
    p.set_stored(10);
    CHECK_FALSE(p.storable());
    p.tracker.settle(0);
    p.tracker.settle(1);
    CHECK(p.storable() == 12);
    p.set_stored(12);
    CHECK(p.stored == 12);
    CHECK_FALSE(p.storable());
    CHECK(p.span() == 2);

    p.tracker.rewind(13);
    CHECK_FALSE(p.fell_below_stored(13)); // not below what was stored
    p.tracker.rewind(5);
    CHECK(p.fell_below_stored(5));
    CHECK(p.exact);
    CHECK(p.storable() == 5);
    p.set_stored(5);
    CHECK_FALSE(p.fell_below_stored(5)); // once
}

TEST_CASE("where the caller has moved the client, the group does not follow", "[kafka_source][partition_table]") {
    auto p = partition_with(10, 11);
    p.tracker.settle(0);
    p.set_stored(11);
    p.sought = 7;
    p.tracker.rewind(7);
    CHECK_FALSE(p.fell_below_stored(7));
    CHECK_FALSE(p.storable());
    p.tracker.rewind(6); // further than the caller wanted
    CHECK(p.fell_below_stored(6));
    CHECK(p.storable() == 6);
}

TEST_CASE("a client is asked to pause what it does not pause yet, and once more in a new assignment",
          "[kafka_source][partition_table]") {
    Partition p;
    CHECK_FALSE(p.must_request(true)); // it is not assigned
    p.assigned = true;
    CHECK(p.must_request(true));
    CHECK_FALSE(p.must_request(false));
    p.paused = p.pause_confirmed = true;
    CHECK_FALSE(p.must_request(true));
    CHECK(p.must_request(false));
    p.leave();
    CHECK(p.paused); // the client keeps it
    CHECK_FALSE(p.must_request(false));
    p.assigned = true;
    CHECK(p.must_request(true)); // unless its handle is a new one
    CHECK(p.must_request(false));
}

TEST_CASE("a partition that is left keeps nothing of its assignment but its pause", "[kafka_source][partition_table]") {
    auto p = partition_with(0, 3);
    p.exact = p.span_exceeded = p.paused = p.pause_confirmed = true;
    p.sought = p.stored = 2;
    p.slot = 7;
    p.leave();
    CHECK_FALSE(p.assigned);
    CHECK_FALSE(p.exact);
    CHECK_FALSE(p.span_exceeded);
    CHECK_FALSE(p.pause_confirmed);
    CHECK_FALSE(p.sought);
    CHECK_FALSE(p.stored);
    CHECK(p.paused);
    CHECK(p.slot == 7);
}
