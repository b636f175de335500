// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstdint>
#include <limits>

namespace bulkhead::inline v1::detail {

/// Decides whether the reader of a partition turns in a circle: it goes back again and again and never gets further.
/// Pure.
///
/// A reader that meets a damaged batch can jump, be reset to the beginning, and read the same records for ever. A
/// reader whose topic was deleted and created again, or whose log was truncated, goes back as well. But it then reads
/// other records: where it goes back to the same offset, the record there has another timestamp.
class Rewinds {
public:
    /// So many rewinds without passing the old maximum are a circle.
    static constexpr int most = 3;

    /// Whether the reader turns in a circle when it delivers this record.
    [[nodiscard]] bool circles(std::int64_t offset, std::int64_t timestamp_ms) const noexcept {
        return offset <= last_ && !is_other(offset, timestamp_ms) && times_ + 1 >= most;
    }
    /// A record is taken.
    void taken(std::int64_t offset, std::int64_t timestamp_ms) noexcept {
        const bool back = offset <= last_;
        if (last_ == nothing || (back && is_other(offset, timestamp_ms))) {
            *this = {}; // a new log
        } else if (back) {
            ++times_;
        }
        if (back || last_ == nothing) {
            back_to_ = offset;
            timestamp_ = timestamp_ms;
        }
        last_ = offset;
        if (offset <= maximum_) return;
        maximum_ = offset;
        times_ = 0;
    }
    /// After a new assignment, or a seek of the caller's: what was read before no longer counts.
    void restart() noexcept { *this = {}; }

private:
    /// Where the latest rewind went, another record lies now.
    [[nodiscard]] bool is_other(std::int64_t offset, std::int64_t timestamp_ms) const noexcept {
        return offset == back_to_ && timestamp_ms != timestamp_;
    }
    static constexpr std::int64_t nothing = std::numeric_limits<std::int64_t>::min();
    std::int64_t maximum_ = nothing;   ///< the highest offset taken
    std::int64_t last_ = nothing;      ///< the latest offset taken
    std::int64_t back_to_ = nothing;   ///< where the latest rewind went, at first where reading began
    std::int64_t timestamp_ = nothing; ///< of the record there
    int times_ = 0;                    ///< rewinds since the maximum was last passed
};

} // namespace bulkhead::inline v1::detail
