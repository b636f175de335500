// SPDX-License-Identifier: BSL-1.0
#include "support/allocations.hpp"
#include "support/intake_parts.hpp"

#include <bulkhead/detail/intake/buffer_pool.hpp>

#include <limits>
#include <utility>
#include <vector>

using bulkhead::detail::BufferPool;
using bulkhead::detail::BulkBatch;
using bulkhead_test::batch_of;

TEST_CASE("the pool counts what is in use, and the most that ever was") {
    BufferPool pool;
    pool.exchange(0, 500);
    pool.note_peak();
    pool.exchange(500, 200);
    pool.note_peak();
    CHECK(pool.used() == 200);
    CHECK(pool.peak() == 500);
}

TEST_CASE("a spare buffer is empty, keeps its memory, and is in use") {
    BufferPool pool;
    const BufferPool::SpareLimits limits{1'000'000, 2, 1'000'000};
    auto batch = batch_of(3);
    const auto footprint = batch.footprint();
    CHECK(pool.recycle(std::move(batch), limits).footprint() == 0);
    CHECK(pool.used() == footprint);
    CHECK(pool.spare_bytes() == footprint);
    REQUIRE(pool.next_spare() != nullptr);
    CHECK(pool.next_spare()->footprint() == footprint);

    const auto taken = pool.take_spare();
    CHECK(taken.empty());
    CHECK(taken.footprint() == footprint);
    CHECK(pool.used() == footprint); // in the hands of the caller
    CHECK_FALSE(pool.has_spare());
    CHECK(pool.next_spare() == nullptr);
}

TEST_CASE("what exceeds a limit is returned and not kept") {
    const auto footprint = batch_of(3).footprint();
    const auto keeps = [&](BufferPool& pool, BufferPool::SpareLimits limits) {
        const auto before = pool.used();
        const bool kept = pool.recycle(batch_of(3), limits).footprint() == 0;
        CHECK(pool.used() == before + (kept ? footprint : 0));
        return kept;
    };
    constexpr auto any = std::numeric_limits<std::size_t>::max() / 2;
    BufferPool pool;
    CHECK_FALSE(keeps(pool, {footprint - 1, any, any}));
    CHECK_FALSE(keeps(pool, {any, 0, any}));
    CHECK_FALSE(keeps(pool, {any, any, footprint - 1}));
    CHECK(keeps(pool, {footprint, 1, footprint}));
    CHECK_FALSE(keeps(pool, {footprint, 1, any}));
    CHECK_FALSE(keeps(pool, {footprint, 2, 2 * footprint - 1}));
    CHECK(keeps(pool, {footprint, 2, 2 * footprint}));
    (void)pool.recycle(BulkBatch{}, {any, any, any}); // nothing to keep
    CHECK(pool.spare_bytes() == 2 * footprint);
}

TEST_CASE("spare buffers are freed all, or but for some") {
    BufferPool pool;
    const BufferPool::SpareLimits limits{1'000'000, 9, 1'000'000};
    const auto footprint = batch_of(2).footprint();
    for (int i = 0; i < 5; ++i) (void)pool.recycle(batch_of(2), limits);
    std::vector<BulkBatch> freed;
    pool.trim(2, freed);
    CHECK(freed.size() == 3);
    CHECK(pool.used() == 2 * footprint);
    pool.free_spares();
    CHECK(pool.used() == 0);
    CHECK_FALSE(pool.has_spare());
}

TEST_CASE("out of memory a buffer is not kept") {
    BufferPool pool;
    auto batch = batch_of(2);
    const auto footprint = batch.footprint();
    const bulkhead_test::FailingAllocations failing{0};
    const auto returned = pool.recycle(std::move(batch), {1'000'000, 9, 1'000'000});
    CHECK(returned.footprint() == footprint);
    CHECK(pool.used() == 0);
}
