// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/encode/bulk_batch.hpp>

#include <chrono>
#include <cstdint>
#include <utility>

namespace bulkhead::inline v1::detail {

/// What is known of a bulk beside its bytes. Parts of a bulk inherit it.
template <class TimePoint>
struct BulkHistory {
    TimePoint opened{};          ///< when its first operation was enqueued
    std::uint64_t epoch = 0;     ///< which flush waits for it
    std::uint32_t travelled = 0; ///< how many requests have carried it
    std::uint32_t refusals = 0;  ///< how often in a row items of it were refused retryably
    std::uint32_t avoid_node = 0xffffffffU;
    bool apart = false;     ///< not to be merged with others: a part of what was refused as too large or malformed
    bool in_halves = false; ///< to be halved before it travels again: its answer was too large
    /// Since when answers have charged an operation of it, or called one blocked; `max()`: none has. Its operations
    /// share these: the earliest counts for all. Merging takes the later one, so none is given up before its time for
    /// another bulk's sake.
    TimePoint charged_since = TimePoint::max();
    TimePoint blocked_since = TimePoint::max();
    /// How many requests had been taken when this one last failed in a way that a smaller one might not; 0: it has not.
    std::uint64_t failed_after = 0;
    std::uint64_t fresh_failures = 0; ///< how many bulks had failed for the first time then
    std::uint32_t failures = 0;       ///< of that kind, in a row
    std::uint32_t nonsense = 0;       ///< answers in a row that proved nothing; a half keeps what its whole had
    std::uint64_t nonsense_after = 0; ///< how many requests had been taken at the last of them; 0: none
    bool new_half = false;            ///< it was halved, and has had no such answer since
};

/// A sealed batch on its way to being settled. The strand owns it once it has been taken from the intake.
template <class TimePoint>
struct Bulk : BulkHistory<TimePoint> {
    BulkBatch batch;

    /// Another batch with the same history.
    [[nodiscard]] Bulk with(BulkBatch other) const { return {*this, std::move(other)}; }
};

/// How long ago a bulk was opened. Zero for `TimePoint::max()`.
template <class TimePoint>
[[nodiscard]] std::chrono::nanoseconds age_of(TimePoint opened, TimePoint now) noexcept {
    return opened >= now ? std::chrono::nanoseconds{0}
                         : std::chrono::duration_cast<std::chrono::nanoseconds>(now - opened);
}

} // namespace bulkhead::inline v1::detail
