// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "simulation/indexer/life.hpp"
#include <bulkhead/indexer_event.hpp>
#include <bulkhead/stats.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>

/// What `on_event` is called with: not too often, and everything exactly once.
namespace bulkhead::inline v1::test::simulation {

class EventOracle {
public:
    explicit EventOracle(Life& life) : life_{life} {}

    void on_event(const IndexerEvent& event) {
        using What = IndexerEvent::Kind;
        auto& expect = life_.expect;
        const auto now = ManualClock::now();
        if (now != last_at_) {
            expect(now - last_at_ >= std::chrono::seconds{1} || life_.closing,
                   "an operator is told at most once a second");
            last_at_ = now;
            kinds_now_.clear();
        }
        const auto text = to_text(event);
        const auto what = text.find_first_not_of("0123456789");
        expect(what != text.npos && (kinds_now_.insert(text.substr(what)).second || life_.closing),
               "an operator is told of each kind and class once");
        expect((event.count == 0) == (event.kind == What::health), "what is told is told with its count");
        if (event.kind == What::health) {
            expect(event.health != health_, "a health is told when it is another");
            health_ = event.health;
        }
        if (event.kind == What::operations_ended) ended_[std::size_t(event.outcome)] += event.count;
        by_kind_[std::size_t(event.kind)] += event.count;
    }
    /// The events add up to the statistics. Checked at the end of a close.
    void check(const Stats& stats) const {
        if (!life_.options().on_event) return;
        using What = IndexerEvent::Kind;
        const auto of_kind = [&](What kind) { return by_kind_[std::size_t(kind)]; };
        const auto ended = [&](Outcome outcome) { return ended_[std::size_t(outcome)]; };
        life_.expect(of_kind(What::requests_failed) == stats.failed_requests &&
                         of_kind(What::operations_failed) == stats.operation_failures.total() &&
                         of_kind(What::refused) == stats.refused() && ended(Outcome::rejected) == stats.rejected &&
                         ended(Outcome::dead_lettered) == stats.dead_lettered &&
                         ended(Outcome::dropped) == stats.dropped && ended(Outcome::undelivered) == stats.undelivered &&
                         ended(Outcome::unknown) == stats.unknown && health_ == stats.health,
                     "before a close ends, an operator was told of everything once");
        if (stats.failed_requests != 0) life_.mark(Mark::reported);
    }

private:
    Life& life_;
    Time last_at_ = Time{} - std::chrono::hours{1};
    std::set<std::string> kinds_now_; ///< kinds and classes since `last_at_`
    std::array<std::uint64_t, 5> by_kind_{};
    std::array<std::uint64_t, outcome_count> ended_{};
    Health health_ = Health::ok;
};

} // namespace bulkhead::inline v1::test::simulation
