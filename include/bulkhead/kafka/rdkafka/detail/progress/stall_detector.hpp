// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

namespace bulkhead::inline v1::kafka::detail {

/// What a `StallDetector` looks at: where one partition is, at one moment.
struct PartitionFacts {
    /// The caller itself keeps the partition from flowing: it has paused it, or takes no records.
    bool held_by_us = false;
    /// No record of the partition waits between the brokers and the caller.
    bool drained = false;
    /// The offset that the client fetches next; below 0 while it is not known.
    std::int64_t position = -1;
    /// The offset after the last one that may be read; nothing while it is not known.
    std::optional<std::int64_t> end{};
};

/// Decides whether one partition stands still although there is something to read, or may be: nothing of it waits in
/// the client, its position is below its end or the end is not known, the caller does not hold it, and its position has
/// not moved, all of that without a break for `stall_after`. Time without a look at it is a break. Pure; not
/// thread-safe.
class StallDetector {
public:
    /// Of the steady clock.
    using time_point = std::chrono::steady_clock::time_point;

    /// `now`: the time of the assignment.
    StallDetector(std::chrono::milliseconds stall_after, time_point now) noexcept
        : stall_after_{stall_after}, since_{now}, seen_{now} {}

    /// A record was taken.
    void restart(time_point now) noexcept { since_ = now; }
    /// Takes in where the partition is. To be called at least three times in `stall_after`.
    void update(const PartitionFacts& facts, time_point now) noexcept {
        const bool behind = !facts.end || facts.position < *facts.end;
        const bool waits = !facts.held_by_us && facts.drained && behind;
        const bool looked_away = now - seen_ > stall_after_ / 2;
        if (!waits || looked_away || facts.position != position_) since_ = now;
        position_ = facts.position;
        seen_ = now;
    }
    /// How long it has stood still, as of the last `update`; nothing while that is below `stall_after`.
    [[nodiscard]] std::optional<std::chrono::milliseconds> stalled() const noexcept {
        const auto quiet = std::chrono::floor<std::chrono::milliseconds>(seen_ - since_);
        return quiet >= stall_after_ ? std::optional{quiet} : std::nullopt;
    }

private:
    std::chrono::milliseconds stall_after_;
    time_point since_;
    time_point seen_;
    std::int64_t position_ = -1;
};

} // namespace bulkhead::inline v1::kafka::detail
