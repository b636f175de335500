// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "simulation/indexer/life.hpp"
#include "simulation/indexer/oracle.hpp"
#include "simulation/indexer/workload.hpp"
#include <bulkhead/bulk_indexer.hpp>
#include <bulkhead/test/scripted_transport.hpp>

#include <chrono>
#include <cstddef>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>

/// The callers of an indexer: what they hand in and how, their observer, their flushes.
namespace bulkhead::inline v1::test::simulation {

using SimulatedIndexer = BulkIndexer<ScriptedTransport, ManualClock>;

class Producers {
public:
    Producers(Life& life, Oracle& oracle, SimulatedIndexer& indexer, asio::any_io_executor executor)
        : life_{life}, oracle_{oracle}, indexer_{indexer}, executor_{std::move(executor)}, workload_{life},
          subscription_{subscribe()} {}

    /// Hands in an operation.
    void put() { enqueue(workload_.draw()); }
    /// Hands in operations that no server refuses.
    void put_good() {
        for (int i = 0; i < 10; ++i) enqueue(workload_.good());
    }
    void put_good(bool poison) {
        auto drawn = workload_.good();
        drawn.op.poison = poison;
        enqueue(std::move(drawn));
    }
    void flush() {
        ++flushes_;
        const auto before = life_.operations.size();
        const auto patience = std::chrono::milliseconds{life_.random.below(2000)};
        indexer_.async_flush(patience, [this, before](error_code error) {
            --flushes_;
            life_.mark(error ? Mark::flush_late : Mark::flushed);
            for (std::size_t i = 0; !error && i < before; ++i) {
                const auto& op = life_.operations[i];
                life_.expect(!op.accepted || op.waited || !op.observed || op.settled == 1,
                             "after a flush what was accepted before has settled", op);
            }
        });
    }
    /// The observer goes, and another comes: nobody is notified of what is under way.
    void replace_observer() {
        for (auto& op : life_.operations)
            if (op.settled == 0 && !op.awaited && std::exchange(op.observed, false)) life_.mark(Mark::unobserved);
        subscription_ = subscribe();
    }
    /// Operations that wait for room.
    [[nodiscard]] std::size_t waiting() const noexcept { return waiting_; }
    /// Flushes that have not completed.
    [[nodiscard]] std::size_t flushes() const noexcept { return flushes_; }

private:
    void enqueue(Drawn drawn) {
        const auto number = drawn.op.number;
        drawn.op.observed = static_cast<bool>(subscription_);
        auto& op = life_.operations.add(std::move(drawn.op));
        auto& made = drawn.operation;
        made.action = op.action;
        made.source = op.source;
        if (!op.id.empty()) made.id = op.id;
        const bool is_shared = // "shared-6" may also be the id of operation 6
            op.id.starts_with("shared-") || op.id.starts_with("first-") || op.id.starts_with("versioned-");
        const bool has_own_id = op.id.empty() || (!is_shared && op.id.ends_with("-" + std::to_string(number)));
        auto& random = life_.random;
        const auto how = life_.scenario.lone_poison                    ? 15
                         : life_.scenario.patient && random.once_in(3) ? 2
                                                                       : random.below(16);
        switch (how) {
        case 0:
        case 1: {
            Batch scratch;
            life_.expect(!scratch.append(made, life_.options().index), "a well-formed operation is taken", op);
            return tried(op, indexer_.try_enqueue(scratch, subscription_.ticket(number)));
        }
        case 2: // others with its id could come in before it, unseen: so only what has an id of its own
            if (has_own_id) return wait_for_room(op, made);
            break;
        case 3: return wait_for_outcome(op, made);
        default: break;
        }
        tried(op, indexer_.try_enqueue(made, subscription_.ticket(number)));
    }
    void tried(Op& op, Admission admission) {
        op.accepted = admission == Admission::accepted;
        if (op.accepted) life_.operations.accepted(op);
    }
    void wait_for_room(Op& op, const Operation& made) {
        ++waiting_;
        op.waiting = op.waited = true;
        const auto began = ManualClock::now();
        indexer_.async_enqueue(made, subscription_.ticket(op.number),
                               [this, number = op.number, began](error_code error, Admission admission) {
                                   auto& waited = life_.operations[number];
                                   --waiting_;
                                   waited.waiting = false;
                                   waited.accepted = admission == Admission::accepted;
                                   waited.since = ManualClock::now();
                                   life_.expect(!error && admission != Admission::full, "who waits for room gets it",
                                                waited);
                                   if (admission == Admission::closed) life_.mark(Mark::closed_waiting);
                                   if (!waited.accepted) return;
                                   if (ManualClock::now() != began) life_.mark(Mark::waited_for_room);
                                   life_.operations.accepted(waited);
                               });
    }
    void wait_for_outcome(Op& op, const Operation& made) {
        const auto before = indexer_.stats().accepted;
        op.observed = op.awaited = true;
        indexer_.async_index(made, [this, number = op.number](error_code error, const IndexResult& result) {
            const auto& ended = life_.operations[number];
            life_.expect(ended.accepted == !error, "who waits for an end is told of a refusal", ended);
            if (error) return;
            life_.mark(Mark::awaited);
            oracle_.settled({number, result.outcome, result.result, result.status, result.attempts});
        });
        op.accepted = indexer_.stats().accepted != before;
        if (op.accepted) life_.operations.accepted(op);
    }
    Subscription subscribe() {
        return indexer_.subscribe(executor_, [this](std::span<const Settlement> settlements) {
            for (const auto& one : settlements) oracle_.settled(one);
            const bool called_back = life_.scenario.called_back;
            if (called_back && life_.random.once_in(4)) {
                life_.mark(Mark::called_back);
                put();
                indexer_.flush();
            }
            if (called_back && life_.random.once_in(8)) {
                life_.mark(Mark::threw);
                throw std::logic_error{"an observer's own affair"};
            }
        });
    }

    Life& life_;
    Oracle& oracle_;
    SimulatedIndexer& indexer_;
    asio::any_io_executor executor_;
    Workload workload_;
    std::size_t waiting_ = 0;
    std::size_t flushes_ = 0;
    Subscription subscription_;
};

} // namespace bulkhead::inline v1::test::simulation
