// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/detail/intake/room.hpp>

using bulkhead::detail::find_room;
using bulkhead::detail::Room;
using bulkhead::detail::RoomFacts;

namespace {

/// A budget of 1000 bytes and 10 operations, of which nothing is used, and an offer that takes 100, amply 200.
RoomFacts room_for_one() {
    RoomFacts facts;
    facts.limit = 1000;
    facts.operations_limit = 10;
    facts.operations = 1;
    facts.amply = 200;
    facts.exactly = 100;
    return facts;
}

} // namespace

TEST_CASE("what is tried first to make room harms least", "[F202][F203]") {
    auto facts = room_for_one();
    CHECK(find_room(facts) == Room::amply);
    facts.used = 800;
    facts.pending = 3;
    CHECK(find_room(facts) == Room::amply); // up to the last byte
    facts.used = 801;
    CHECK(find_room(facts) == Room::none); // not squeezed into the remnant: those that are pending make room
    facts.spares = 1;
    CHECK(find_room(facts) == Room::without_spares);
    facts.spares = 0;
    facts.open = 1;
    CHECK(find_room(facts) == Room::amply); // what the open batch holds already is not needed twice
}

TEST_CASE("when nothing is pending the least that is needed must do", "[F202]") {
    auto facts = room_for_one();
    facts.amply = 2000; // as large as the last batch
    facts.used = 1000;
    facts.spares = 500;
    facts.open = 500;
    CHECK(find_room(facts) == Room::exactly);
    facts.exactly = 1000;
    CHECK(find_room(facts) == Room::exactly);
    facts.used = 1001; // one byte is an observer's that has not returned: it will
    CHECK(find_room(facts) == Room::none);
    facts.used = 1000;
    facts.pending = 1;
    CHECK(find_room(facts) == Room::none);
}

TEST_CASE("nothing is dropped for an offer that still has no room then", "[F203]") {
    auto facts = room_for_one();
    facts.used = 1000;
    facts.pending = 9;
    facts.droppable_bytes = 100;
    facts.droppable_operations = 4;
    CHECK(find_room(facts) == Room::none); // who refuses drops nothing
    facts.may_drop = true;
    CHECK(find_room(facts) == Room::after_dropping);
    facts.droppable_bytes = 99;
    CHECK(find_room(facts) == Room::none);
    facts.spares = 1;
    CHECK(find_room(facts) == Room::after_dropping);
    facts.pending = 14;
    CHECK(find_room(facts) == Room::none); // four less are one too many
    facts.pending = 13;
    CHECK(find_room(facts) == Room::after_dropping);
}

TEST_CASE("after a batch was dropped the least that is needed will do: no second one is dropped for comfort",
          "[F203]") {
    auto facts = room_for_one();
    facts.used = 850;
    facts.pending = 9;
    facts.may_drop = true;
    facts.droppable_bytes = 500;
    facts.droppable_operations = 5;
    CHECK(find_room(facts) == Room::after_dropping);
    facts.dropped = true;
    CHECK(find_room(facts) == Room::exactly);
}
