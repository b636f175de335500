// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/detail/util/saturating_add.hpp>
#include <bulkhead/indexer_event.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <utility>

namespace bulkhead::inline v1::detail {

/// Decides when `IndexerOptions::on_event` is called: for everything once, and at most once a second. Pure but for the
/// call.
template <class TimePoint>
class EventReporter {
public:
    /// Without a hook nothing is kept.
    explicit EventReporter(bool has_hook) : reported_{has_hook ? std::make_unique<Stats>() : nullptr} {}

    [[nodiscard]] bool has_hook() const noexcept { return reported_ != nullptr; }
    /// Whether a report is due. `trouble`: what `trouble_count` makes of the counters now. `last`: it is the last
    /// one, which does not wait.
    [[nodiscard]] bool due(TimePoint now, const std::pair<std::uint64_t, Health>& trouble, bool last) noexcept {
        if (!has_hook()) return false;
        pending_ = trouble != std::pair{trouble_count(*reported_), reported_->health};
        return pending_ && (last || now >= not_before_);
    }
    /// Calls the hook with everything that happened since the last report. What the hook throws is dropped.
    template <class Hook>
    void report(TimePoint now, Stats stats, const Hook& hook) {
        std::swap(*reported_, stats);
        pending_ = false;
        not_before_ = saturating_add<typename TimePoint::clock>(now, std::chrono::seconds{1});
        events_between(stats, *reported_, [&](const IndexerEvent& event) {
            try {
                hook(event);
            } catch (...) { // the event was reported
            }
        });
    }
    /// When a report that waits is due; `max()` when none waits.
    [[nodiscard]] TimePoint next_deadline() const noexcept { return pending_ ? not_before_ : TimePoint::max(); }

private:
    const std::unique_ptr<Stats> reported_; ///< the counters at the last report
    TimePoint not_before_ = TimePoint::min();
    bool pending_ = false;
};

} // namespace bulkhead::inline v1::detail
