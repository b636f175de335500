// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "simulation/indexer/life.hpp"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

/// What each answer means for the operations of its request and for the endpoint as a whole, by rules that share
/// nothing with the library.
namespace bulkhead::inline v1::test::simulation {

/// An item for each operation, and what it means.
struct Items {
    std::vector<std::string> text;
    std::vector<Meaning> meaning;
    std::size_t busy = 0; ///< with 429, and no block
};

class EndpointOracle {
public:
    explicit EndpointOracle(Life& life) : life_{life} {}

    /// A request has arrived.
    void request_arrived() {
        const auto now = ManualClock::now();
        life_.expect(now == trouble_at_ || now >= quiet_until_, "an endpoint in trouble is left alone for a while");
        if (wished_ && now >= quiet_until_) life_.mark(Mark::retry_after);
        wished_ = wished_ && now < quiet_until_;
    }
    /// A request reaches the server, or its answer the client. False: not the first one at this time.
    bool landed() { return std::exchange(landed_at_, ManualClock::now()) != ManualClock::now(); }
    /// The endpoint failed as a whole: no request in the next while.
    void trouble() {
        if (trouble_at_ == ManualClock::now()) return; // it knows already
        trouble_at_ = ManualClock::now();
        quiet_until_ = trouble_at_ + life_.scenario.min_backoff();
        wished_ = false;
    }
    /// 429 or 503, with `Retry-After` or without.
    void busy(const std::vector<Found>& found, bool alone_now, std::optional<std::chrono::seconds> retry_after) {
        const bool pauses = suspicious(found, Meaning::again);
        // A failure earlier at the same time has set the pause already.
        if (!retry_after || !alone_now || !pauses) return;
        quiet_until_ = std::max<Time>(
            quiet_until_,
            ManualClock::now() + std::min<ManualClock::duration>(*retry_after, life_.options().retry.max_backoff));
        wished_ = retry_after->count() != 0;
    }
    /// A whole answer arrives.
    void judged(const std::vector<Found>& found, const Items& items) {
        single_rejections_ = 0;
        if (std::any_of(items.meaning.begin(), items.meaning.end(),
                        [](Meaning meaning) { return meaning != Meaning::wait && meaning != Meaning::again; })) {
            taken_at_.push_back(ManualClock::now());
            for (const auto& one : found) op(one).failed_at = op(one).failed_alone_at = never;
            if (std::exchange(failed_by_size_, false)) life_.mark(Mark::passed_smaller);
        } else if (items.busy == found.size()) {
            if (found.size() == 1) {
                (void)suspicious(found, Meaning::again);
                return;
            }
            // As a failure of the request: when it fails again after others were taken, it may be to blame.
            for (const auto& one : found) op(one).failed_at = ManualClock::now();
        }
        for (std::size_t i = 0; i < found.size(); ++i) {
            auto& one = op(found[i]);
            one.meaning = items.meaning[i];
            if (one.meaning != Meaning::wait) { // an item that waits leaves the attempts, and their time, as they are
                ++one.charged;
                one.nonsense_with_others = false;
                one.takes_time = items.text[i].find("\"status\":5") != std::string::npos;
            }
            if (one.meaning != Meaning::wait && one.meaning != Meaning::again) continue;
            one.not_before = ManualClock::now() + life_.scenario.min_backoff();
            one.refused_since = std::min(one.refused_since, ManualClock::now());
        }
    }
    /// No proof comes back of what the server did.
    void lost(const std::vector<Found>& found, Meaning means = Meaning::nothing) {
        if (means != Meaning::no) (void)suspicious(found, means);
        for (const auto& one : found) {
            op(one).lost = true;
            op(one).meaning = Meaning::nothing;
        }
    }
    /// A success that proves nothing is an answer all the same.
    void nonsense(const std::vector<Found>& found, bool too_large = false) {
        if (!too_large) trouble();
        lost(found, too_large ? Meaning::done : Meaning::no);
        for (const auto& one : found) {
            ++op(one).charged;
            op(one).nonsense_with_others = found.size() > 1 && life_.options().retry.max_attempts > 1;
        }
    }
    /// 400 for the request. True: the server may have applied what stands before the malformed operation.
    bool malformed(const std::vector<Found>& found) {
        for (const auto& one : found) op(one).read = true;
        if (found.size() == 1 && single_rejections_ < 32) {
            ++single_rejections_;
            refused_alone(found);
            return false;
        }
        if (single_rejections_ >= 32) trouble();
        return true;
    }
    void refused_alone(const std::vector<Found>& found) {
        ++op(found[0]).charged;
        op(found[0]).meaning = Meaning::no;
    }
    /// A request fails by its size, under another name than 413.
    void failed_by_size() { failed_by_size_ = true; }

private:
    [[nodiscard]] Op& op(const Found& found) { return life_.operations[found]; }
    /// A request failed in a way that a smaller one might not. The endpoint is to blame, and nothing is sent for a
    /// while, unless an operation of it failed before and others were taken since. A lone one is then charged for it.
    /// True when it is certainly the endpoint. `means`: what it means for an operation that is charged.
    bool suspicious(const std::vector<Found>& found, Meaning means) {
        const auto now = ManualClock::now();
        bool fresh = true;
        for (const auto& one : found) {
            auto& failed = op(one);
            const auto before = std::exchange(failed.failed_at, now);
            const auto alone_before = std::exchange(failed.failed_alone_at, found.size() == 1 ? now : never);
            fresh =
                fresh && (before == never || !any_taken(before, now)) && (found.size() > 1 || !failed.charged_alone);
            if (found.size() != 1 || alone_before == never) continue;
            if (!any_taken(alone_before, now) && !failed.charged_alone) continue;
            charge_alone(failed, means, alone_before);
        }
        suspicious_at_.push_back(now);
        if (fresh) trouble();
        return fresh;
    }
    void charge_alone(Op& failed, Meaning means, Time alone_before) {
        const auto now = ManualClock::now();
        // What happens at one time may be seen in another order; when others failed too, no operation may be to blame.
        const bool others_failed = std::count_if(suspicious_at_.begin(), suspicious_at_.end(),
                                                 [&](auto at) { return at >= alone_before; }) > 1;
        constexpr ManualClock::duration tick{1};
        if (others_failed || !any_taken(alone_before + tick, now - tick)) ++failed.perhaps_charged;
        failed.charged_alone = true;
        if (means != Meaning::done) ++failed.charged; // an answer that is nonsense is charged anyway
        if (means != Meaning::done) failed.meaning = means;
        failed.takes_time = true;
        failed.refused_since = std::min(failed.refused_since, now);
        life_.mark(Mark::charged_alone);
    }
    /// Whether a request was taken between these two times, both included.
    [[nodiscard]] bool any_taken(Time from, Time to) const {
        const auto first = std::lower_bound(taken_at_.begin(), taken_at_.end(), from);
        return first != taken_at_.end() && *first <= to;
    }

    Life& life_;
    std::vector<Time> taken_at_;        ///< requests
    std::vector<Time> suspicious_at_;   ///< requests failed
    Time trouble_at_ = never;           ///< when the endpoint last failed as a whole
    Time quiet_until_ = never;          ///< when the next request may come
    bool wished_ = false;               ///< because of `Retry-After`
    Time landed_at_ = never;            ///< the last request
    std::size_t single_rejections_ = 0; ///< 400s for single operations since an answer was one item for each
    bool failed_by_size_ = false;       ///< since the last request that was taken
};

} // namespace bulkhead::inline v1::test::simulation
