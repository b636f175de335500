// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/kafka/rdkafka/detail/progress/client_statistics.hpp>
#include <bulkhead/kafka/rdkafka/detail/progress/lost_records.hpp>
#include <bulkhead/kafka/rdkafka/detail/progress/stall_detector.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <utility>

namespace bulkhead::inline v1::kafka::detail {

/// How far one assigned partition has come: what waits in it, whether it stands still, what it has lost. Pure: fed with
/// librdkafka's statistics and with what the driver takes. Not thread-safe.
class PartitionProgress {
public:
    /// Of the steady clock.
    using time_point = StallDetector::time_point;

    /// `now`: the time of the assignment. `skips_to_end`: see `LostRecords`.
    PartitionProgress(std::chrono::milliseconds stall_after, bool skips_to_end, time_point now) noexcept
        : stall_{stall_after, now}, lost_{skips_to_end} {}

    /// The group had committed this offset when the partition was assigned; below 0: none.
    void committed(std::int64_t offset) noexcept {
        committed_ = offset;
        lost_.committed(offset, low_);
    }
    /// Whether `taken` needs the log's first offset.
    [[nodiscard]] bool continues(std::int64_t offset) const noexcept { return lost_.continues(offset); }
    /// The driver has taken this record. `low`: the log's first offset, below 0 while it is not known.
    void taken(std::int64_t offset, std::int64_t low) noexcept {
        lost_.taken(offset, std::max(low, low_));
        next_ = offset + 1;
    }
    /// The client's statistics of the partition. `held_by_us`: the partition is paused, or the driver takes no records,
    /// or it holds some that it has not taken.
    void update(const PartitionStatistics& there, bool held_by_us, time_point now) noexcept {
        const bool active = there.fetch_state == "active"; // in any other state `next_offset` is an old one
        const auto position = active ? std::max<std::int64_t>(there.next_offset, -1) : -1;
        // `fetchq_cnt` counts the records of all partitions. Nothing of this one waits once all of it was taken, or
        // once the queue was empty since its position moved. A pause empties the queue before the position goes back.
        const bool all_taken = position < 0 || (next_ && *next_ >= position);
        const bool still = position == position_ && !held_;
        drained_ = !held_by_us && (all_taken || (still && (drained_ || there.fetchq_cnt == 0)));
        position_ = position;
        held_ = held_by_us;
        low_ = std::max(low_, there.lo_offset);
        end_now_ = there.end();
        if (end_now_) end_ = end_now_;
        if (drained_) lost_.passed(position_, low_);
        if (std::exchange(next_seen_, next_) != next_) stall_.restart(now);
        stall_.update({held_by_us, drained_, position_, end_now_}, now);
    }

    /// Records that may be read and were not taken, counted in offsets; nothing while the end was never known.
    [[nodiscard]] std::optional<std::uint64_t> lag() const noexcept {
        if (!end_) return std::nullopt;
        return static_cast<std::uint64_t>(std::max<std::int64_t>(0, *end_ - reached()));
    }
    /// Everything before this offset was taken, or is nothing to take: transaction markers, and what compaction or
    /// retention removed.
    [[nodiscard]] std::int64_t reached() const noexcept {
        const auto taken = next_.value_or(-1);
        if (drained_ && position_ >= 0) return std::max(taken, position_);
        if (next_) return taken;
        // Nothing was taken yet. A committed offset outside of the log is worthless.
        const auto low = std::max<std::int64_t>(low_, 0);
        return committed_ >= low && end_ && committed_ <= *end_ ? committed_ : low;
    }
    /// The offset after the last one that may be read, as last known.
    [[nodiscard]] std::optional<std::int64_t> end() const noexcept { return end_; }
    /// Whether the client has read to the end, and the brokers report the end now.
    [[nodiscard]] bool at_end() const noexcept { return end_now_ && position_ >= *end_now_; }
    /// The offset that the client fetches next; below 0 while it is not known.
    [[nodiscard]] std::int64_t position() const noexcept { return position_; }
    /// How long it had stood still at the last `update`, although there was something to read, or may have been;
    /// nothing while it did not.
    [[nodiscard]] std::optional<std::chrono::milliseconds> stalled() const noexcept { return stall_.stalled(); }
    /// Offsets that were gone before they were read.
    [[nodiscard]] std::uint64_t lost() const noexcept { return lost_.count(); }

private:
    StallDetector stall_;
    LostRecords lost_;
    std::int64_t committed_ = -1;
    std::optional<std::int64_t> next_{};      ///< the offset after the last record taken
    std::optional<std::int64_t> next_seen_{}; ///< the same at the last `update`
    bool drained_ = false;
    bool held_ = false; ///< at the last `update`
    std::int64_t position_ = -1;
    std::int64_t low_ = -1;
    std::optional<std::int64_t> end_{};
    std::optional<std::int64_t> end_now_{};
};

} // namespace bulkhead::inline v1::kafka::detail
