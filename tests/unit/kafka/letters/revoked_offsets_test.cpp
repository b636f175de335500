// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/kafka/detail/letters/revoked_offsets.hpp>

#include <cstdint>

using namespace bulkhead;
using bulkhead::detail::RevokedOffsets;

TEST_CASE("what was under way when its partition went keeps its position until the last has settled",
          "[kafka_source][kafka_parts][F243]") {
    OffsetTracker tracker;
    for (std::int64_t offset = 10; offset < 15; ++offset)
        static_cast<void>(tracker.delivered(offset, offset == 12 ? 2 : 1));
    tracker.settle(1); // 11
    RevokedOffsets revoked;
    CHECK(revoked.empty());
    revoked.remember(3, tracker, 12);
    tracker.rewind(12);
    CHECK_FALSE(revoked.offset_of(3, 0)); // it stays with the tracker
    CHECK(revoked.offset_of(3, 2) == 12);
    CHECK(revoked.offset_of(3, 4) == 14);
    CHECK_FALSE(revoked.offset_of(2, 2)); // of another partition
    revoked.settled(3, 2, false);
    CHECK(revoked.offset_of(3, 2) == 12);
    revoked.settled(3, 2, false);
    revoked.settled(3, 2, false); // more than it had: nothing
    revoked.settled(3, 3, true);
    revoked.settled(3, 99, true);
    CHECK_FALSE(revoked.empty());
    revoked.settled(3, 4, true);
    CHECK(revoked.empty());
    revoked.remember(3, tracker, 100); // nothing waits there
    CHECK(revoked.empty());
}

TEST_CASE("all that was left of a record settles together, and positions of one partition are kept for each departure",
          "[kafka_source][kafka_parts][F243]") {
    RevokedOffsets revoked;
    for (std::int64_t life = 0; life < 2; ++life) { // revoked and assigned again: the sequence numbers continue
        OffsetTracker tracker;
        for (std::int64_t i = 0; i < life; ++i) tracker.settle(tracker.delivered(i, 1));
        static_cast<void>(tracker.delivered(100 + life, 3));
        revoked.remember(5, tracker, 0);
    }
    CHECK(revoked.offset_of(5, 0) == 100);
    CHECK(revoked.offset_of(5, 1) == 101);
    revoked.settled(5, 1, false);
    revoked.settled(5, 1, true);
    CHECK_FALSE(revoked.offset_of(5, 1));
    CHECK(revoked.offset_of(5, 0) == 100);
    revoked.settled(5, 0, true);
    CHECK(revoked.empty());
}
