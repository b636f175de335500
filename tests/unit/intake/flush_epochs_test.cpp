// SPDX-License-Identifier: BSL-1.0
#include "support/allocations.hpp"
#include "support/catch.hpp"

#include <bulkhead/detail/intake/flush_epochs.hpp>

#include <cstdint>
#include <deque>
#include <new>
#include <numeric>
#include <random>
#include <utility>

using bulkhead::detail::FlushEpochs;

TEST_CASE("an epoch is drained when all that was added before its flush is released, in any order") {
    FlushEpochs epochs;
    CHECK(epochs.idle());
    const auto first = epochs.add(3);
    const auto flush = epochs.advance();
    CHECK(flush == first + 1);
    const auto second = epochs.add(2); // after the flush
    CHECK(second == flush);

    epochs.release(second, 2);
    CHECK(epochs.first() < flush); // what came later does not complete it
    epochs.release(first, 2);
    CHECK(epochs.first() < flush);
    CHECK_FALSE(epochs.idle());
    epochs.release(first, 1);
    CHECK(epochs.first() == flush);
    CHECK(epochs.idle());
}

TEST_CASE("flushes with nothing between them share an epoch") {
    FlushEpochs epochs;
    CHECK(epochs.advance() == epochs.first());
    const auto added = epochs.add(1);
    const auto flush = epochs.advance();
    CHECK(epochs.advance() == flush);
    epochs.release(added, 1);
    CHECK(epochs.first() == flush);
    CHECK(epochs.advance() == flush);
}

TEST_CASE("epochs keep count of any mix of flushes and releases") {
    std::mt19937 random{7};
    FlushEpochs epochs;
    std::deque<std::pair<std::uint64_t, std::uint64_t>> added; // epoch, operations
    std::uint64_t flushed = 0;
    for (int i = 0; i < 5000; ++i) {
        if (random() % 3 == 0) flushed = epochs.advance();
        if (random() % 3 != 0) {
            const auto operations = 1 + random() % 9;
            added.emplace_back(epochs.add(operations), operations);
        }
        while (!added.empty() && random() % 3 == 0) {
            const auto at = added.begin() + static_cast<std::ptrdiff_t>(random() % added.size());
            epochs.release(at->first, at->second);
            added.erase(at);
        }
        bool drained = true;
        for (const auto& [epoch, operations] : added) drained = drained && epoch >= flushed;
        REQUIRE((epochs.first() >= flushed) == drained);
        REQUIRE(epochs.idle() == added.empty());
    }
}

TEST_CASE("out of memory an epoch is not advanced") {
    FlushEpochs epochs;
    bool refused = false;
    for (int i = 0; i < 1000 && !refused; ++i) {
        const auto epoch = epochs.add(1);
        const bulkhead_test::FailingAllocations failing{0};
        try {
            (void)epochs.advance();
        } catch (const std::bad_alloc&) {
            refused = true;
            CHECK(epochs.add(1) == epoch);
            epochs.release(epoch, 1);
        }
    }
    CHECK(refused);
}
