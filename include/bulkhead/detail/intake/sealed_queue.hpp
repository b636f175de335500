// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/intake/bulk.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <new>
#include <utility>
#include <vector>

namespace bulkhead::inline v1::detail {

/// The tickets of a batch that `drop_oldest` gave up. Until they are released, they charge their bytes, and a flush
/// waits for their epoch.
struct DroppedTickets {
    std::uint64_t epoch = 0;
    std::vector<Ticket> tickets;
    [[nodiscard]] std::size_t charge() const noexcept { return tickets.size() * sizeof(Ticket); }
};

/// Sealed bulks in the order of their age, and the tickets of those that were dropped. It knows what dropping would
/// free; that is counted only when `Overflow::drop_oldest` is set.
template <class TimePoint>
class SealedQueue {
public:
    /// What the budget and the operation count get back.
    struct Freed {
        std::size_t bytes = 0;
        std::size_t operations = 0;
    };
    /// A bulk that was dropped, for the books.
    struct DroppedBulk {
        TimePoint opened{};
        std::uint64_t epoch = 0;
        std::size_t operations = 0;
        std::size_t observed = 0;  ///< of these: how many name an observer
        std::size_t footprint = 0; ///< what the bulk was charged
        std::size_t charge = 0;    ///< what its tickets still are
    };

    explicit SealedQueue(bool drops) noexcept : drops_{drops} {}

    [[nodiscard]] bool drops() const noexcept { return drops_; }
    [[nodiscard]] bool empty() const noexcept { return bulks_.empty(); }
    [[nodiscard]] std::size_t size() const noexcept { return bulks_.size(); }
    /// When the oldest was opened; `max()` when there is none.
    [[nodiscard]] TimePoint oldest() const noexcept {
        return bulks_.empty() ? TimePoint::max() : bulks_.front().opened;
    }

    /// Appends the bulk that `seal` returns. Calls it only when there is memory for the bulk; else returns false.
    template <class Seal>
    [[nodiscard]] bool push(const Seal& seal) noexcept {
        try {
            bulks_.emplace_back();
        } catch (const std::bad_alloc&) {
            return false;
        }
        bulks_.back() = seal();
        const auto& batch = bulks_.back().batch;
        bytes_ += batch.footprint();
        operations_ += batch.operations();
        tickets_ += tickets_of(batch);
        return true;
    }
    /// Moves the oldest bulk to `out`. False when there is none.
    [[nodiscard]] bool pop(Bulk<TimePoint>& out) noexcept {
        if (bulks_.empty()) return false;
        out = std::move(bulks_.front());
        bulks_.pop_front();
        forget(out.batch);
        return true;
    }

    /// What dropping all bulks would free. Tickets of observers remain until these are notified.
    [[nodiscard]] Freed droppable() const noexcept { return {bytes_ - tickets_ * sizeof(Ticket), operations_}; }
    /// What dropping this batch would free, once it is sealed.
    [[nodiscard]] Freed droppable(const BulkBatch& batch) const noexcept {
        return {batch.footprint() - tickets_of(batch) * sizeof(Ticket), batch.operations()};
    }
    /// Drops the oldest bulk, which must exist, and keeps its tickets for `take_dropped`. Throws `std::bad_alloc`; then
    /// nothing has changed.
    DroppedBulk drop_oldest() {
        const auto& bulk = std::as_const(bulks_.front());
        DroppedTickets kept{bulk.epoch, {}};
        kept.tickets.reserve(tickets_of(bulk.batch));
        for (const auto& entry : bulk.batch.entries())
            if (entry.ticket.slot != Ticket::nobody) kept.tickets.push_back(entry.ticket);
        const DroppedBulk dropped{
            bulk.opened,  bulk.epoch, bulk.batch.operations(), kept.tickets.size(), bulk.batch.footprint(),
            kept.charge()};
        if (dropped.observed != 0) dropped_.push_back(std::move(kept));
        forget(bulk.batch);
        bulks_.pop_front();
        return dropped;
    }
    [[nodiscard]] bool has_dropped() const noexcept { return !dropped_.empty(); }
    /// Moves the oldest tickets whose observers have not been notified to `out`. False when there are none.
    [[nodiscard]] bool take_dropped(DroppedTickets& out) noexcept {
        if (dropped_.empty()) return false;
        out = std::move(dropped_.front());
        dropped_.pop_front();
        return true;
    }

private:
    /// How many operations name an observer.
    [[nodiscard]] std::size_t tickets_of(const BulkBatch& batch) const noexcept {
        if (!drops_) return 0;
        const auto is_observed = [](const Entry& entry) { return entry.ticket.slot != Ticket::nobody; };
        return static_cast<std::size_t>(std::count_if(batch.entries().begin(), batch.entries().end(), is_observed));
    }
    void forget(const BulkBatch& batch) noexcept {
        bytes_ -= batch.footprint();
        operations_ -= batch.operations();
        tickets_ -= tickets_of(batch);
    }

    const bool drops_;
    std::deque<Bulk<TimePoint>> bulks_;
    std::size_t bytes_ = 0; ///< what they take of the budget
    std::size_t operations_ = 0;
    std::size_t tickets_ = 0;
    std::deque<DroppedTickets> dropped_;
};

} // namespace bulkhead::inline v1::detail
