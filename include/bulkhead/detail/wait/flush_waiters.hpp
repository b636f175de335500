// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

namespace bulkhead::inline v1::detail {

/// The flushes that wait: for their epoch to be drained, at most until a deadline. Each step costs the logarithm of how
/// many wait. Pure. `Done` is what a waiter leaves behind; it moves without throwing.
template <class TimePoint, class Done>
class FlushWaiters {
    struct Waiter {
        std::uint64_t epoch;
        TimePoint deadline;
        Done done;
    };
    using Waiters = std::map<std::uint64_t, Waiter>;
    using Epochs = std::set<std::pair<std::uint64_t, std::uint64_t>>; // epoch and id
    using Deadlines = std::set<std::pair<TimePoint, std::uint64_t>>;  // deadline and id

public:
    /// A waiter with all the memory that it needs.
    class Place {
    public:
        /// Throws `std::bad_alloc`.
        Place(std::uint64_t id, std::uint64_t epoch, TimePoint deadline, Done done) {
            Waiters waiters;
            Epochs epochs;
            Deadlines deadlines;
            waiters.emplace(id, Waiter{epoch, deadline, std::move(done)});
            epochs.emplace(epoch, id);
            deadlines.emplace(deadline, id);
            waiter_ = waiters.extract(waiters.begin());
            epoch_ = epochs.extract(epochs.begin());
            deadline_ = deadlines.extract(deadlines.begin());
        }

    private:
        friend class FlushWaiters;
        typename Waiters::node_type waiter_;
        typename Epochs::node_type epoch_;
        typename Deadlines::node_type deadline_;
    };

    void add(Place place) noexcept {
        waiters_.insert(std::move(place.waiter_));
        epochs_.insert(std::move(place.epoch_));
        deadlines_.insert(std::move(place.deadline_));
    }
    [[nodiscard]] bool empty() const noexcept { return waiters_.empty(); }
    /// The one with this id, if it waits.
    [[nodiscard]] std::optional<Done> take(std::uint64_t id) noexcept {
        auto node = waiters_.extract(id);
        if (!node) return std::nullopt;
        epochs_.erase({node.mapped().epoch, id});
        deadlines_.erase({node.mapped().deadline, id});
        return std::move(node.mapped().done);
    }
    /// One that waits for an epoch up to this one.
    [[nodiscard]] std::optional<Done> take_drained(std::uint64_t first_epoch) noexcept {
        if (epochs_.empty() || epochs_.begin()->first > first_epoch) return std::nullopt;
        return take(epochs_.begin()->second);
    }
    /// One whose deadline has come.
    [[nodiscard]] std::optional<Done> take_overdue(TimePoint now) noexcept {
        if (deadlines_.empty() || now < deadlines_.begin()->first) return std::nullopt;
        return take(deadlines_.begin()->second);
    }
    /// One that waits, whatever for.
    [[nodiscard]] std::optional<Done> take_any() noexcept {
        return waiters_.empty() ? std::nullopt : take(waiters_.begin()->first);
    }
    /// The earliest deadline; `TimePoint::max()` when nobody waits.
    [[nodiscard]] TimePoint earliest() const noexcept {
        return deadlines_.empty() ? TimePoint::max() : deadlines_.begin()->first;
    }

private:
    Waiters waiters_; ///< by id
    Epochs epochs_;
    Deadlines deadlines_;
};

} // namespace bulkhead::inline v1::detail
