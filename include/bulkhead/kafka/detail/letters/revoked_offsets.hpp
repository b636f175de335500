// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/kafka/offset_tracker.hpp>

#include <algorithm>
#include <cstdint>
#include <exception>
#include <optional>
#include <utility>
#include <vector>

namespace bulkhead::inline v1::detail {

/// The offsets of records whose partition was given back, or rewound, while their operations were still under way: a
/// dead letter of such an operation still has its position. Forgotten with the settlement of the last one.
class RevokedOffsets {
public:
    /// Before `tracker` forgets what waits at and above `from`.
    void remember(std::uint64_t slot, const OffsetTracker& tracker, std::int64_t from) noexcept {
        try {
            Departure departure{slot, {}, 0};
            tracker.for_each_waiting(from, [&](OffsetTracker::Sequence sequence, std::int64_t offset, std::uint32_t n) {
                departure.records.push_back({sequence, offset, n});
                departure.operations += n;
            });
            if (departure.operations != 0) departures_.push_back(std::move(departure));
        } catch (const std::exception&) { // then they have no position
        }
    }
    [[nodiscard]] std::optional<std::int64_t> offset_of(std::uint64_t slot, OffsetTracker::Sequence sequence) noexcept {
        const auto [departure, record] = find(slot, sequence);
        return record == nullptr ? std::nullopt : std::optional{record->offset};
    }
    /// A late settlement: of one operation, or of all that the record still had.
    void settled(std::uint64_t slot, OffsetTracker::Sequence sequence, bool whole_record) noexcept {
        const auto [departure, record] = find(slot, sequence);
        if (record == nullptr || record->operations == 0) return;
        const auto n = whole_record ? record->operations : 1;
        record->operations -= n;
        departure->operations -= n;
        if (departure->operations == 0) departures_.erase(departures_.begin() + (departure - departures_.data()));
    }
    [[nodiscard]] bool empty() const noexcept { return departures_.empty(); }

private:
    struct Late {
        OffsetTracker::Sequence sequence = 0;
        std::int64_t offset = 0;
        std::uint32_t operations = 0;
    };
    struct Departure {
        std::uint64_t slot = 0;
        std::vector<Late> records; ///< by sequence number
        std::uint64_t operations = 0;
    };
    [[nodiscard]] std::pair<Departure*, Late*> find(std::uint64_t slot, OffsetTracker::Sequence sequence) noexcept {
        for (auto& departure : departures_) {
            if (departure.slot != slot) continue;
            const auto at = std::lower_bound(departure.records.begin(), departure.records.end(), sequence,
                                             [](const Late& late, auto wanted) { return late.sequence < wanted; });
            if (at != departure.records.end() && at->sequence == sequence) return {&departure, &*at};
        }
        return {nullptr, nullptr};
    }
    std::vector<Departure> departures_;
};

} // namespace bulkhead::inline v1::detail
