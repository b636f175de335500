// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

namespace bulkhead::inline v1::kafka::detail {

/// Counts the offsets of one partition that were gone from the log before they were read, because retention took them.
/// Transaction markers among them count, too. A gap that compaction or a transaction left does not count: the log's
/// first offset tells the two apart. Pure; not thread-safe.
class LostRecords {
public:
    /// `skips_to_end`: the client goes to the end of the log when its offset is gone (`auto.offset.reset=latest`), so
    /// that everything before is lost, too.
    explicit LostRecords(bool skips_to_end = false) noexcept : skips_to_end_{skips_to_end} {}

    /// The group had committed this offset when the partition was assigned; below 0: none, so that nothing is missed.
    /// May come after the first record. `low`: the log's first offset, below 0 while it is not known.
    void committed(std::int64_t offset, std::int64_t low) noexcept {
        if (offset < 0) return;
        if (!expected_) {
            expected_ = offset;
        } else if (first_ && offset <= *first_) {
            add(offset, *first_, std::max(first_low_, low));
        }
        first_.reset();
    }
    /// Whether a record at this offset comes without a gap, so that `taken` need not know the log's first offset.
    [[nodiscard]] bool continues(std::int64_t offset) const noexcept { return expected_ && offset == *expected_; }
    /// This record was read. `low`: the log's first offset, below 0 while it is not known.
    void taken(std::int64_t offset, std::int64_t low) noexcept {
        if (!expected_) {
            first_ = offset;
            first_low_ = low;
        } else {
            add(*expected_, offset, low);
        }
        expected_ = offset + 1;
    }
    /// Every record before `position` was read or is gone: nothing waits in the client.
    void passed(std::int64_t position, std::int64_t low) noexcept {
        if (!expected_ || low <= *expected_ || position < low) return;
        add(*expected_, position, low);
        expected_ = skips_to_end_ ? position : low;
    }
    /// How many so far.
    [[nodiscard]] std::uint64_t count() const noexcept { return count_; }

private:
    void add(std::int64_t expected, std::int64_t next, std::int64_t low) noexcept {
        if (low <= expected || next <= expected) return;
        const auto gone = skips_to_end_ ? next : std::min(next, low);
        count_ += static_cast<std::uint64_t>(gone - expected);
    }
    bool skips_to_end_;
    std::optional<std::int64_t> expected_{}; ///< the offset of the record that should come next
    std::optional<std::int64_t> first_{};    ///< the first record, while it is not known what the group had committed
    std::int64_t first_low_ = -1;
    std::uint64_t count_ = 0;
};

} // namespace bulkhead::inline v1::kafka::detail
