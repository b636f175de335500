// SPDX-License-Identifier: BSL-1.0
// What tracking costs a record: delivered and settled together.

#include <bulkhead/kafka/offset_tracker.hpp>

#include <benchmark/benchmark.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

namespace {

using namespace bulkhead;

constexpr std::size_t window = 100'000;

/// A window of records is outstanding, and settles in the order in which it was delivered.
void in_order(benchmark::State& state) {
    OffsetTracker tracker;
    std::int64_t offset = 0;
    OffsetTracker::Sequence oldest = 0;
    while (tracker.records() < window) tracker.delivered(offset++, 1);
    for (auto _ : state) {
        tracker.delivered(offset++, 1);
        benchmark::DoNotOptimize(tracker.settle(oldest++));
        benchmark::DoNotOptimize(tracker.watermark());
    }
    state.SetItemsProcessed(state.iterations());
}

/// Windows of records, each settled in an order of its own.
void shuffled(benchmark::State& state) {
    std::vector<std::uint32_t> order(window);
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), std::mt19937{4}); // NOLINT: the same for everyone
    OffsetTracker tracker;
    std::int64_t offset = 0;
    for (auto _ : state) {
        const auto first = tracker.delivered(offset++, 1);
        for (std::size_t i = 1; i < window; ++i) tracker.delivered(offset++, 1);
        for (const auto i : order) {
            benchmark::DoNotOptimize(tracker.settle(first + i));
            benchmark::DoNotOptimize(tracker.watermark());
        }
        if (tracker.records() != 0) state.SkipWithError("not all settled");
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(window));
}

BENCHMARK(in_order);
BENCHMARK(shuffled);

} // namespace
