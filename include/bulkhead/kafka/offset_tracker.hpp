// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace bulkhead::inline v1 {

/// Which offset of one Kafka partition may be stored, while its records settle in any order. Pure; not thread-safe.
///
/// Records are *delivered* with rising offsets, gaps allowed (compaction, transaction markers), each with the number of
/// its operations, and get a sequence number by which their operations are *settled* in O(1). The `watermark()` is the
/// smallest offset that is not settled, or the last delivered offset plus one when all are: everything below it, and
/// delivered, is settled. A record with a *failed* operation is never passed.
///
/// Sequence numbers rise for ever, over restarts too. So a settlement that comes late, for a record of an earlier
/// assignment, names a number that is no longer known and changes nothing.
///
/// Memory: 16 bytes a record between the watermark and the last one delivered, in a ring that doubles and is given back
/// when it empties.
class OffsetTracker {
public:
    /// Names a record in the tracker, in the order of taking.
    using Sequence = std::uint64_t;

    /// What a settlement did.
    enum class Step : std::uint8_t {
        late,    ///< nothing: the record is not tracked, or no longer
        partly,  ///< other operations of the record are still to come
        settled, ///< it was the record's last operation, and all are settled
        failed,  ///< it was the record's last operation, and at least one has failed
    };

    /// Makes room for one more record, so that the next `delivered` cannot throw. Throws `std::bad_alloc`.
    void reserve_one() {
        if (count_ == ring_.size()) grow();
    }

    /// A record was delivered. With no operations it is settled at once. Returns its sequence number.
    ///
    /// An offset at or below one delivered before is a `rewind`. Throws `std::bad_alloc`, the tracker unchanged.
    Sequence delivered(std::int64_t offset, std::uint32_t operations) {
        reserve_one();
        if (next_ && offset < *next_) rewind(offset);
        next_ = offset + 1;
        const Sequence sequence = base_ + count_;
        entry(count_++) = {offset, operations, false};
        if (operations > 0) ++waiting_;
        pop_settled();
        give_back();
        return sequence;
    }

    /// The consumer went back (seek, reset, truncated log), and delivers again from `offset` on: earlier deliveries of
    /// these offsets are forgotten; what is before and not settled stays. Nothing happens when it did not go back.
    void rewind(std::int64_t offset) noexcept {
        if (!next_ || offset >= *next_) return;
        // The records that stay in force keep rising offsets: all at or above `offset` become settled, so that the
        // first one in the ring that is not settled is also the smallest.
        for (std::size_t i = 0; i < count_; ++i) {
            auto& record = entry(i);
            if (record.offset < offset) continue;
            if (record.waiting > 0) {
                --waiting_;
            } else if (record.failed) {
                --failed_;
            }
            record.waiting = 0;
            record.failed = false;
        }
        next_ = offset;
        pop_settled();
    }

    /// One operation of the record is durably settled.
    Step settle(Sequence sequence) noexcept { return end_one(sequence, false); }

    /// One operation of the record has failed for good: the watermark will never pass this record.
    Step fail(Sequence sequence) noexcept { return end_one(sequence, true); }

    /// All operations of the record that are still to come are settled, or have failed, together.
    Step settle_record(Sequence sequence) noexcept { return end_all(sequence, false); }
    /// It will never be durable: the watermark stays before it.
    Step fail_record(Sequence sequence) noexcept { return end_all(sequence, true); }

    /// A new assignment of the partition: forgets everything but the sequence numbers.
    void restart() noexcept {
        base_ += count_;
        head_ = count_ = waiting_ = failed_ = 0;
        next_.reset();
        ring_ = {};
    }

    /// The offset that may be stored: the next one that a restarted consumer must read. Nothing before the first
    /// delivery.
    [[nodiscard]] std::optional<std::int64_t> watermark() const noexcept {
        return count_ == 0 ? next_ : std::optional{ring_[head_].offset};
    }
    /// The offset after the last one delivered.
    [[nodiscard]] std::optional<std::int64_t> next() const noexcept { return next_; }
    /// How far the last delivered offset is ahead of the watermark; 0 when everything is settled.
    [[nodiscard]] std::int64_t span() const noexcept { return count_ == 0 ? 0 : *next_ - ring_[head_].offset; }
    /// Records held: those not settled, and settled ones behind them.
    [[nodiscard]] std::size_t records() const noexcept { return count_; }
    /// Records with operations still to come, whether one of them has failed or not.
    [[nodiscard]] std::size_t waiting() const noexcept { return waiting_; }
    /// Records whose operations have all ended and of which one has failed.
    [[nodiscard]] std::size_t failed() const noexcept { return failed_; }
    /// Whether operations of the record are still to come, that is whether its settlement would change anything.
    [[nodiscard]] bool awaits(Sequence sequence) const noexcept {
        return sequence >= base_ && sequence - base_ < count_ &&
               ring_[(head_ + (sequence - base_)) & (ring_.size() - 1)].waiting > 0;
    }
    /// The record's offset, while it is tracked.
    [[nodiscard]] std::optional<std::int64_t> offset_of(Sequence sequence) const noexcept {
        if (sequence < base_ || sequence - base_ >= count_) return std::nullopt;
        return ring_[(head_ + (sequence - base_)) & (ring_.size() - 1)].offset;
    }

    /// Calls `f(sequence, offset, operations)` for each record at or above `from` with operations still to come.
    template <class F>
    void for_each_waiting(std::int64_t from, F f) const {
        for (std::size_t i = 0; i < count_; ++i) {
            const auto& record = ring_[(head_ + i) & (ring_.size() - 1)];
            if (record.waiting > 0 && record.offset >= from) f(base_ + i, record.offset, record.waiting);
        }
    }

private:
    struct Entry {
        std::int64_t offset = 0;
        std::uint32_t waiting = 0; ///< operations still to come
        bool failed = false;
    };
    static_assert(sizeof(Entry) == 16);
    static constexpr std::size_t smallest_ring = 64;
    static constexpr std::size_t ring_worth_keeping = 4096;

    [[nodiscard]] Entry& entry(std::size_t position) noexcept { return ring_[(head_ + position) & (ring_.size() - 1)]; }

    Step end_one(Sequence sequence, bool failed) noexcept {
        if (sequence < base_ || sequence - base_ >= count_) return Step::late;
        auto& record = entry(sequence - base_);
        if (record.waiting == 0) return Step::late;
        record.failed |= failed;
        if (--record.waiting > 0) return Step::partly;
        --waiting_;
        if (record.failed) {
            ++failed_;
            return Step::failed;
        }
        if (sequence == base_) {
            pop_settled();
            give_back();
        }
        return Step::settled;
    }
    Step end_all(Sequence sequence, bool failed) noexcept {
        if (sequence >= base_ && sequence - base_ < count_) {
            auto& record = entry(sequence - base_);
            if (record.waiting > 1) record.waiting = 1;
        }
        return end_one(sequence, failed);
    }

    void pop_settled() noexcept {
        while (count_ > 0 && ring_[head_].waiting == 0 && !ring_[head_].failed) {
            head_ = (head_ + 1) & (ring_.size() - 1);
            --count_;
            ++base_;
        }
    }
    void give_back() noexcept {
        if (count_ > 0 || ring_.size() <= ring_worth_keeping) return;
        ring_ = {};
        head_ = 0;
    }

    void grow() {
        std::vector<Entry> larger(ring_.empty() ? smallest_ring : ring_.size() * 2);
        for (std::size_t i = 0; i < count_; ++i) larger[i] = entry(i);
        ring_.swap(larger);
        head_ = 0;
    }

    std::vector<Entry> ring_; ///< its size is a power of two, or 0
    std::size_t head_ = 0;
    std::size_t count_ = 0;
    Sequence base_ = 0; ///< the sequence number at `head_`
    std::size_t waiting_ = 0;
    std::size_t failed_ = 0;
    std::optional<std::int64_t> next_;
};

} // namespace bulkhead::inline v1
