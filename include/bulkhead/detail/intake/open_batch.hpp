// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/intake/bulk.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <new>
#include <string>
#include <string_view>
#include <utility>

namespace bulkhead::inline v1::detail {

/// Why a batch is sealed.
enum class SealReason : std::uint8_t { none, bytes, count, interval, flush };

/// Where a batch ends, and with how much it may begin.
struct BatchLimits {
    std::size_t bytes = 0;       ///< sealed at this size
    std::size_t operations = 0;  ///< sealed at this number
    std::size_t first_bytes = 0; ///< an empty batch reserves no more at once
};

/// The batch that operations are appended to: append, growth, and when to seal. It knows neither budget nor clock.
template <class TimePoint>
class OpenBatch {
public:
    explicit OpenBatch(const BatchLimits& limits) : limits_{limits} {}

    [[nodiscard]] const BatchLimits& limits() const noexcept { return limits_; }
    void set_limits(const BatchLimits& limits) noexcept { limits_ = limits; }
    [[nodiscard]] const BulkBatch& batch() const noexcept { return batch_; }
    [[nodiscard]] bool empty() const noexcept { return batch_.empty(); }
    [[nodiscard]] std::size_t footprint() const noexcept { return batch_.footprint(); }
    /// When its first operation was appended.
    [[nodiscard]] TimePoint opened() const noexcept { return opened_; }

    /// Whether the batch has to be sealed before it takes this much more.
    [[nodiscard]] SealReason seal_before(std::size_t bytes, std::size_t operations) const noexcept {
        if (batch_.empty()) return SealReason::none;
        if (batch_.bytes() + bytes > limits_.bytes) return SealReason::bytes;
        return batch_.operations() + operations > limits_.operations ? SealReason::count : SealReason::none;
    }
    /// Whether the batch takes nothing more.
    [[nodiscard]] SealReason seal_after() const noexcept {
        if (batch_.operations() >= limits_.operations) return SealReason::count;
        return batch_.bytes() >= limits_.bytes ? SealReason::bytes : SealReason::none;
    }

    /// How the batch grows: it begins as large as the last one became, and doubles.
    [[nodiscard]] Growth growth() const noexcept { return growth_like(last_bytes_, last_operations_); }
    /// How the next one will grow when this one is sealed as it is.
    [[nodiscard]] Growth growth_of_next() const noexcept { return growth_like(batch_.bytes(), batch_.operations()); }
    /// Makes room. False when memory ran out; then it may have grown in part.
    [[nodiscard]] bool grow(std::size_t bytes, std::size_t operations, Growth growth) noexcept {
        try {
            batch_.reserve_more(bytes, operations, growth);
            return true;
        } catch (const std::bad_alloc&) {
            return false;
        }
    }
    /// Requires an empty batch: exchanges its memory for that of `buffer`.
    void use(BulkBatch buffer) noexcept { batch_ = std::move(buffer); }

    /// The beginning of the action line; nullptr when the index's name is not acceptable. Throws `std::bad_alloc`.
    [[nodiscard]] const std::string* prefix(Action action, std::string_view index) {
        return lines_.find(action, index);
    }
    /// Sets when the batch was opened, before the first operation is appended.
    void open(TimePoint now) noexcept { opened_ = now; }
    /// The room has been reserved.
    void append(const Prepared& op, const std::string& prefix, Ticket ticket) noexcept {
        batch_.encoded().append_unchecked(op, prefix, ticket);
    }
    /// The same for several operations, which all get this ticket.
    void append(const EncodedOperations& operations, Ticket ticket) noexcept {
        batch_.encoded().append_unchecked(operations, ticket);
    }
    /// Returns the batch as it is; an empty one without memory takes its place.
    [[nodiscard]] Bulk<TimePoint> seal() noexcept {
        last_bytes_ = batch_.bytes();
        last_operations_ = batch_.operations();
        Bulk<TimePoint> bulk;
        bulk.batch = std::move(batch_);
        bulk.opened = opened_;
        return bulk;
    }

private:
    [[nodiscard]] Growth growth_like(std::size_t bytes, std::size_t operations) const noexcept {
        Growth growth{limits_.bytes, limits_.operations};
        growth.first_bytes = std::min(std::max(growth.first_bytes, bytes + bytes / 8), limits_.first_bytes);
        growth.first_operations = std::min(std::max(growth.first_operations, operations + operations / 8),
                                           limits_.first_bytes / EncodedOperations::overhead);
        return growth;
    }

    // What seldom changes comes first: the owner keeps an atomic before it that producers read without the lock.
    BatchLimits limits_;
    ActionLines lines_;
    BulkBatch batch_;
    TimePoint opened_{};
    std::size_t last_bytes_ = 0; ///< of the batch that was sealed last
    std::size_t last_operations_ = 0;
};

} // namespace bulkhead::inline v1::detail
