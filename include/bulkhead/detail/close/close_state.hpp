// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/close/close_margin.hpp>

#include <chrono>
#include <cstdint>
#include <utility>

namespace bulkhead::inline v1::detail {

/// How far a close has come: open, draining until a deadline, abandoning what is left, closed, and its observers
/// silenced. Pure.
///
/// Somewhat before the deadline everything that is pending is abandoned, so that observers on other executors are
/// called in time.
template <class TimePoint>
class CloseState {
public:
    /// A close is requested. The earliest deadline of several requests counts. `max()`: none.
    void request(TimePoint deadline, TimePoint now) noexcept {
        if (deadline < deadline_) {
            deadline_ = deadline;
            requested_at_ = now;
        }
        if (!std::exchange(requested_, true)) abandoned_before_ = abandoned_;
    }
    [[nodiscard]] bool requested() const noexcept { return requested_; }

    /// Whether there is time left to wait. `idle`: nothing is pending and no observer is being called, so nothing is
    /// waited for. `pending`: the operations that are not settled.
    [[nodiscard]] bool drains(TimePoint now, bool idle, std::uint64_t pending) const noexcept {
        return !idle && now < abandon_at(pending);
    }
    /// Everything that is pending is abandoned now. True the first time.
    bool begin_abandoning() noexcept { return !std::exchange(abandoning_, true); }
    /// So many operations were abandoned, by a close or by their age.
    void abandoned(std::uint64_t operations) noexcept { abandoned_ += operations; }
    /// Whether observers on other executors are still waited for.
    [[nodiscard]] bool waits_for_observers(TimePoint now, bool idle) const noexcept { return !idle && now < deadline_; }

    /// The close ends: nothing is sent any more. Returns whether that is still to be done by others, who were not
    /// asked to stop when operations were abandoned.
    bool end() noexcept {
        ended_ = true;
        drained_ = abandoned_ == abandoned_before_;
        return !abandoning_;
    }
    [[nodiscard]] bool ended() const noexcept { return ended_; }
    /// Whether nothing had to be abandoned since the close was requested.
    [[nodiscard]] bool drained() const noexcept { return drained_; }

    /// The step after which no call of an observer begins is posted, or is not.
    void silencing(bool posted) noexcept { silencing_ = posted; }
    [[nodiscard]] bool is_silencing() const noexcept { return silencing_; }
    /// No call of an observer begins any more. True the first time.
    bool silence() noexcept { return !std::exchange(silenced_, true); }
    [[nodiscard]] bool is_silenced() const noexcept { return silenced_; }

    /// When the next step is due, with so many operations pending; `max()` when none is.
    [[nodiscard]] TimePoint next_deadline(std::uint64_t pending) const noexcept {
        if (!requested_ || ended_) return TimePoint::max();
        return abandoning_ ? deadline_ : abandon_at(pending);
    }

private:
    [[nodiscard]] TimePoint abandon_at(std::uint64_t pending) const noexcept {
        if (deadline_ == TimePoint::max() || deadline_ <= requested_at_) return deadline_;
        const auto time = std::chrono::duration_cast<std::chrono::nanoseconds>(deadline_ - requested_at_);
        return deadline_ - std::chrono::duration_cast<typename TimePoint::duration>(close_margin(time, pending));
    }

    TimePoint deadline_ = TimePoint::max();
    TimePoint requested_at_ = TimePoint::min();
    std::uint64_t abandoned_ = 0;
    std::uint64_t abandoned_before_ = 0; ///< the close was requested
    bool requested_ = false;
    bool abandoning_ = false;
    bool ended_ = false;
    bool drained_ = false;
    bool silencing_ = false;
    bool silenced_ = false;
};

} // namespace bulkhead::inline v1::detail
