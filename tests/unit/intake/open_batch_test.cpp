// SPDX-License-Identifier: BSL-1.0
#include "support/allocations.hpp"
#include "support/intake_parts.hpp"

#include <bulkhead/detail/intake/open_batch.hpp>

#include <chrono>
#include <string>

using namespace std::chrono_literals;
using bulkhead::Ticket;
using bulkhead::detail::Growth;
using bulkhead::detail::SealReason;
using bulkhead_test::batch_of;

namespace {

using Open = bulkhead::detail::OpenBatch<bulkhead_test::TimePoint>;

/// Appends so many operations of `bytes` in all.
void fill_open(Open& open, std::size_t operations, std::size_t bytes, Ticket ticket = {}) {
    const auto batch = batch_of(operations, {}, bytes / operations - 37);
    REQUIRE(batch.bytes() == bytes);
    REQUIRE(open.grow(bytes, operations, Growth{0, 0}));
    open.append(batch.encoded(), ticket);
}

} // namespace

TEST_CASE("a batch is sealed before what does not fit its limits, and after what reaches them") {
    Open open{{.bytes = 1000, .operations = 4, .first_bytes = 10'000}};
    CHECK(open.seal_before(5000, 9) == SealReason::none); // an empty one takes anything
    CHECK(open.seal_after() == SealReason::none);
    fill_open(open, 2, 800);
    CHECK(open.seal_after() == SealReason::none);
    CHECK(open.seal_before(200, 2) == SealReason::none);
    CHECK(open.seal_before(201, 1) == SealReason::bytes);
    CHECK(open.seal_before(200, 3) == SealReason::count);
    CHECK(open.seal_before(201, 3) == SealReason::bytes);
    fill_open(open, 1, 200);
    CHECK(open.seal_after() == SealReason::bytes);
    open.set_limits({.bytes = 1001, .operations = 3, .first_bytes = 10'000});
    CHECK(open.seal_after() == SealReason::count);
}

TEST_CASE("a sealed batch takes along its operations and when it was opened") {
    Open open{{.bytes = 1000, .operations = 10, .first_bytes = 10'000}};
    const auto opened = bulkhead_test::TimePoint{} + 7s;
    open.open(opened);
    fill_open(open, 2, 200, Ticket{.slot = 3, .generation = 4, .key = 5});
    const auto bulk = open.seal();
    CHECK(bulk.opened == opened);
    REQUIRE(bulk.batch.operations() == 2);
    CHECK(bulk.batch.entries()[1].ticket.key == 5);
    CHECK(open.empty());
    CHECK(open.footprint() == 0);
}

TEST_CASE("a batch begins as large as the last one became, within a limit") {
    Open open{{.bytes = 500, .operations = 10, .first_bytes = 16'384}};
    CHECK(open.growth().first_bytes == 4096);
    CHECK(open.growth().first_operations == 16);
    fill_open(open, 32, 8000);
    CHECK(open.growth_of_next().first_bytes == 9000); // one eighth more
    CHECK(open.growth_of_next().first_operations == 36);
    CHECK(open.growth().first_bytes == 4096);
    (void)open.seal();
    CHECK(open.growth().first_bytes == 9000);
    CHECK(open.growth().first_operations == 36);
    fill_open(open, 320, 32'000);
    (void)open.seal();
    CHECK(open.growth().first_bytes == 16'384);
    CHECK(open.growth().first_operations == 16'384 / bulkhead::detail::EncodedOperations::overhead);
    CHECK(open.growth().most_bytes == 500); // ahead of need
}

TEST_CASE("an open batch uses a buffer that it is given, and reports that it cannot grow") {
    Open open{{.bytes = 500, .operations = 10, .first_bytes = 4096}};
    auto buffer = batch_of(5);
    buffer.clear();
    const auto footprint = buffer.footprint();
    open.use(std::move(buffer));
    CHECK(open.footprint() == footprint);
    CHECK(open.empty());
    {
        const bulkhead_test::FailingAllocations failing{0};
        CHECK_FALSE(open.grow(100'000, 1000, Growth{}));
    }
    CHECK(open.grow(100'000, 1000, Growth{}));
    CHECK(open.batch().encoded().fits(100'000, 1000));
    open.use({});
    CHECK(open.footprint() == 0);
}
