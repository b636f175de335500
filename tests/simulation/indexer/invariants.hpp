// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "simulation/indexer/life.hpp"
#include "simulation/indexer/oracle.hpp"
#include "simulation/indexer/producers.hpp"
#include <bulkhead/batch.hpp>
#include <bulkhead/stats.hpp>

#include <chrono>
#include <cstddef>

/// What holds after every step of an indexer's life.
namespace bulkhead::inline v1::test::simulation {

class Invariants {
public:
    Invariants(Life& life, Oracle& oracle, const SimulatedIndexer& indexer, const Producers& producers)
        : life_{life}, oracle_{oracle}, indexer_{indexer}, producers_{producers} {}

    void check() {
        life_.expect.rethrow();
        const auto stats = indexer_.stats();
        check_counters(stats);
        check_ages(stats);
        if (stats.pending == 0 && !life_.closing) { // and nothing is ready to run: every observer has returned
            life_.expect(indexer_.has_room(stats.buffered_bytes_limit - Batch::operation_overhead),
                         "when nothing is pending, what fits the budget is taken");
            life_.expect(producers_.waiting() == 0, "when nothing is pending, nobody waits for room");
        }
        life_.expect(stats.buffered_bytes <= life_.bounds.buffered_bytes, "the byte budget holds");
        life_.expect(stats.pending <= life_.bounds.buffered_operations, "the operation budget holds");
        life_.expect(stats.in_flight <= life_.bounds.in_flight, "no more requests are in flight than may be");
        life_.coverage.healths.count(stats.health);
        oracle_.check_turns();
    }
    /// Nothing is left to do.
    void check_idle() const {
        const auto stats = indexer_.stats();
        life_.expect(stats.in_flight == 0 && stats.sealed_batches == 0 && stats.waiting_for_id == 0 &&
                         stats.dead_letters_waiting == 0,
                     "an idle indexer holds nothing");
    }
    void check_closed() const {
        const auto stats = indexer_.stats();
        life_.expect(stats.pending == 0 && stats.accepted == stats.settled(), "after a close the books balance");
        life_.expect(stats.buffered_bytes == 0, "after a close nothing is held");
    }
    /// The life is over.
    void check_end() {
        life_.expect(producers_.flushes() == 0, "every flush completes");
        life_.expect(producers_.waiting() == 0, "who waits for room is told in the end");
        for (const auto& op : life_.operations) {
            life_.expect(op.settled == (op.accepted && op.observed ? 1 : 0),
                         "an accepted operation settles exactly once, no other ever", op);
            if (op.sent > 1) life_.mark(Mark::sent_again);
        }
    }

private:
    void check_counters(const Stats& stats) const {
        life_.expect(stats.offered + producers_.waiting() == life_.operations.size() &&
                         stats.offered == stats.accepted + stats.refused() &&
                         stats.accepted == stats.settled() + stats.pending,
                     "the counters add up");
        life_.expect(stats.settle_time.count() == stats.settled() &&
                         stats.request_failures.total() == stats.failed_requests &&
                         stats.request_time.count() + stats.in_flight <= stats.requests &&
                         stats.queue_time.count() <= stats.requests,
                     "what is counted by time and by class is all that is counted");
    }
    void check_ages(const Stats& stats) {
        using std::chrono::nanoseconds;
        const auto& all = life_.operations;
        while (oldest_ < all.size() && (all[oldest_].settled != 0 || !all[oldest_].observed ||
                                        (!all[oldest_].accepted && !all[oldest_].waiting)))
            ++oldest_;
        if (oldest_ < all.size() && all[oldest_].accepted)
            life_.expect(stats.oldest_pending >= ManualClock::now() - all[oldest_].since,
                         "the oldest pending operation's age is told", all[oldest_]);
        if (stats.pending == 0)
            life_.expect(stats.oldest_pending == nanoseconds{0}, "without a pending operation there is no age");
        life_.expect(stats.oldest_dead_letter <=
                         (stats.dead_letters_waiting == 0 ? nanoseconds{0} : stats.oldest_pending),
                     "a dead letter's age is told while it waits for the sink");
    }

    Life& life_;
    Oracle& oracle_;
    const SimulatedIndexer& indexer_;
    const Producers& producers_;
    std::size_t oldest_ = 0; ///< all before it have settled, or are not observed, or were not accepted
};

} // namespace bulkhead::inline v1::test::simulation
