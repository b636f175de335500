// SPDX-License-Identifier: BSL-1.0
#include "support/allocations.hpp"
#include "support/catch.hpp"

#include <bulkhead/detail/wait/wait_list.hpp>

#include <memory>
#include <utility>

namespace {

using WaitingNumbers = bulkhead::detail::WaitList<std::unique_ptr<int>>;

WaitingNumbers::Place waiting_place(std::uint64_t id) { return {id, std::make_unique<int>(static_cast<int>(id))}; }

} // namespace

TEST_CASE("wait list: the order of the ids is the order of service, whenever they were added") {
    WaitingNumbers list;
    list.add(waiting_place(7));
    list.add(waiting_place(3));
    list.add(waiting_place(5));
    CHECK(*list.front() == 3);
    list.pop_front();
    CHECK(*list.front() == 5);
}

TEST_CASE("wait list: one that is taken waits no longer, and the others do") {
    WaitingNumbers list;
    list.add(waiting_place(1));
    list.add(waiting_place(2));
    CHECK(list.contains(2));
    CHECK(**list.take(2) == 2);
    CHECK_FALSE(list.contains(2));
    CHECK_FALSE(list.take(2).has_value());
    CHECK(*list.front() == 1);
    list.pop_front();
    CHECK(list.empty());
}

TEST_CASE("wait list: a place brings all the memory that adding and taking need") {
    WaitingNumbers list;
    auto place = waiting_place(1);
    const auto before = bulkhead_test::allocations();
    list.add(std::move(place));
    const auto taken = list.take(1);
    CHECK(bulkhead_test::allocations() == before);
    CHECK(**taken == 1);
}
