// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "simulation/kafka/invariants.hpp"
#include "simulation/kafka/member.hpp"
#include "simulation/kafka/world.hpp"

#include <chrono>
#include <cstddef>
#include <utility>
#include <vector>

/// A member's poll loop.
namespace bulkhead::inline v1::test::simulation {

class MemberLoop {
public:
    MemberLoop(KafkaWorld& world, Member& member) : world_{world}, member_{member} {}

    /// Once round the loop. True: the member has ended.
    bool turn() {
        auto& random = world_.random;
        member_.last_turn = ManualClock::now();
        poll();
        member_.point();
        // While another member gives partitions back, the group does not move on.
        if (world_.waiting == 0 && member_.phase != Member::Phase::closing) member_.client.serve();
        member_.point();
        if (member_.phase != Member::Phase::running) return go_on_leaving();
        if (member_.source->stopped() && (world_.calm || random.once_in(10))) {
            world_.mark(KafkaMark::restarted);
            member_.leave(world_.calm ? 1000ms : std::chrono::milliseconds{random.below(500)}, false);
            return false;
        }
        hand_over();
        member_.point();
        member_.acknowledge();
        member_.point();
        if (member_.commit_at <= ManualClock::now()) {
            member_.commit_at = ManualClock::now() + world_.scenario.commit_every;
            member_.commit();
            member_.point();
        }
        if (random.once_in(4)) poll();
        return false;
    }

private:
    void poll() {
        world_.still([&] { member_.source->poll(); });
        member_.meet_epochs();
        MemberInvariants{world_}.check(member_);
    }
    void hand_over() {
        auto& random = world_.random;
        auto& held = member_.held;
        if (member_.source->about_to_pause()) world_.mark(KafkaMark::waited_to_pause);
        while (held.size() < 6) {
            auto record = member_.client.fetch();
            if (!record) break;
            held.push_back(std::move(*record));
        }
        if (random.once_in(60)) deliver_foreign();
        if (held.empty()) return;
        const auto count = 1 + random.below(held.size());
        std::vector<const ModelRecord*> next;
        for (std::size_t i = 0; i < count; ++i) next.push_back(&held[i]);
        member_.auditor.delivering(next);
        const auto taken = random.once_in(3) ? deliver_span(next) : deliver_each(next);
        held.erase(held.begin(), held.begin() + std::ptrdiff_t(taken));
        MemberInvariants{world_}.check(member_);
    }
    std::size_t deliver_span(const std::vector<const ModelRecord*>& next) {
        std::vector<Record> records;
        for (const auto* const record : next) records.push_back(record->view());
        const auto taken = world_.still([&] { return member_.source->deliver(records); });
        if (taken > 1) world_.mark(KafkaMark::in_order);
        for (std::size_t i = 0; i < taken; ++i) member_.auditor.taken(*next[i]);
        return taken;
    }
    std::size_t deliver_each(const std::vector<const ModelRecord*>& next) {
        std::size_t taken = 0;
        for (; taken < next.size(); ++taken) {
            const auto& record = *next[taken];
            const auto delivered = world_.still([&] { return member_.source->deliver(record.view()); });
            if (delivered == Delivered::busy) break;
            world_.expect(delivered == Delivered::taken, "a record of an owned partition is not ignored",
                          Place{world_.log_of(record), record.offset});
            member_.auditor.taken(record);
            member_.point();
        }
        return taken;
    }
    /// A record that reaches a member whose partition it is not.
    void deliver_foreign() {
        const auto& kafka = world_.kafka;
        for (Log log = 0; log < kafka.logs(); ++log) {
            if (member_.client.owns(log) || kafka.records(log).empty() || !member_.source->accepting()) continue;
            const auto delivered = member_.source->deliver(kafka.records(log).begin()->second.view());
            if (delivered == Delivered::busy) continue; // what had settled in the meantime made it stop
            world_.expect(delivered == Delivered::ignored, "a record of another member's partition is ignored");
            world_.mark(KafkaMark::foreign);
            return;
        }
    }
    bool go_on_leaving() {
        auto& leaving = member_.leaving;
        member_.acknowledge();
        poll();
        world_.expect(!member_.auditor.closed || leaving.report || ManualClock::now() <= leaving.close_by + 150ms,
                      "L5: a close ends by its deadline");
        const bool draining = member_.phase == Member::Phase::draining;
        if (leaving.close_first && draining) hand_over();
        const bool time_is_up = leaving.by <= ManualClock::now();
        if (draining) {
            if (!time_is_up && !member_.source->drained() && !(leaving.close_first && leaving.report)) return false;
            // One thread has them all: a member that left while another one waits would hold that one up.
            if (world_.waiting != 0) return false;
            leave_group();
        }
        if (!leaving.report) return false;
        const auto stats = member_.indexer->stats();
        world_.expect(stats.pending == 0 && stats.accepted == stats.settled(), "after a close the books balance");
        return true;
    }
    void leave_group() {
        world_.mark(member_.source->drained() ? KafkaMark::left : KafkaMark::left_early);
        member_.commit();
        member_.point();
        member_.client.leave();
        member_.point();
        member_.source->close_letters();
        if (!member_.auditor.closed) member_.close();
        member_.phase = Member::Phase::closing;
    }

    KafkaWorld& world_;
    Member& member_;
};

} // namespace bulkhead::inline v1::test::simulation
