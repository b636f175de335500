// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "simulation/kafka/acts.hpp"
#include "simulation/kafka/invariants.hpp"
#include "simulation/kafka/member.hpp"
#include "simulation/kafka/member_loop.hpp"
#include "simulation/kafka/network.hpp"
#include "simulation/kafka/world.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

/// One seeded life of a consumer group in virtual time: up to three members, each a real `KafkaSource` over a real
/// `BulkIndexer`, between a model of Kafka and a model of Elasticsearch, behind a network that does what networks do.
/// Members come, go, hang and are killed at any step, also while they give partitions back; the group moves; commits,
/// stores, pauses and dead letters fail. After every step the promises are checked by code that shares nothing with the
/// library; then the faults end, and everything must come to rest with nothing lost.
///
///     KafkaCoverage coverage;
///     KafkaSimulation{seed, coverage}.run(); // throws `Broken`, which names the promise and the place
///
/// A seed lives the same life on every machine.
namespace bulkhead::inline v1::test::simulation {

class KafkaSimulation {
public:
    KafkaSimulation(std::uint64_t seed, KafkaCoverage& coverage) : world_{seed, coverage} {
        world_.tick = [this](ManualClock::duration time) { tick(time); };
        acts_.produce(world_.random.between(10, 60));
    }
    KafkaSimulation(const KafkaSimulation&) = delete;
    KafkaSimulation& operator=(const KafkaSimulation&) = delete;

    void run() {
        auto& random = world_.random;
        for (auto& member : members_)
            if (random.below(3) != 0) acts_.start(member);
        const auto acts = random.between(20, 200);
        for (std::size_t i = 0; i < acts; ++i) {
            acts_.act();
            for (auto ticks = random.below(12); ticks != 0; --ticks) tick(10ms);
        }
        come_to_rest();
        std::size_t flushed = 0;
        for (auto& member : members_)
            if (member) member->indexer->async_flush(1s, [&](error_code error) { flushed += error ? 0U : 1U; });
        const auto running =
            std::size_t(std::count_if(members_.begin(), members_.end(), [](auto& member) { return !!member; }));
        be_idle();
        world_.expect(flushed == running, "L2: a flush completes");
        for (auto& member : members_)
            if (member) member->leave(5s, false);
        for (int i = 0; i < 1200 && invariants_.anybody(); ++i) tick(10ms);
        world_.expect(!invariants_.anybody(), "L2: a member that leaves has left by its deadline");
        invariants_.check_end();
    }

private:
    void come_to_rest() {
        acts_.heal();
        for (int i = 0; i < 20'000 && !at_rest(); ++i) {
            for (auto& member : members_)
                if (!member && (&member == &members_[0] || world_.random.once_in(50))) acts_.start(member);
            tick(i < 300 ? 10ms : 100ms);
        }
        world_.expect(at_rest(), "L1, L3: without faults everything settles, is committed, and goes on", why_not());
    }
    /// No member has anything to do: then nothing is done.
    void be_idle() {
        world_.handlers = 0;
        const bool reads = invariants_.anybody_reads();
        for (int i = 0; i < 100; ++i) tick(100ms);
        world_.expect(reads || world_.handlers <= 50 * members_.size(), "L4: who is idle runs nothing");
    }
    [[nodiscard]] bool at_rest() const { return invariants_.anybody() && why_not().empty(); }
    [[nodiscard]] std::string why_not() const {
        return invariants_.why_not_at_rest(network_.empty() && !acts_.expects_expiry());
    }

    // ---- Time ----

    void tick(ManualClock::duration time) {
        ManualClock::advance(time);
        network_.deliver();
        acts_.expire();
        const auto first = world_.random.below(members_.size());
        for (std::size_t i = 0; i < members_.size(); ++i) {
            auto& member = members_[(first + i) % members_.size()];
            if (!member) continue;
            member->run();
            if (!member->busy) take_turn(member);
        }
        invariants_.check();
    }
    void take_turn(std::unique_ptr<Member>& member) {
        if (member->stalled_until > ManualClock::now()) return;
        member->busy = true;
        bool over = false;
        try {
            over = MemberLoop{world_, *member}.turn();
            member->busy = false;
        } catch (const Killed&) {
            return acts_.kill(member);
        }
        if (over) acts_.remove(member);
    }

    KafkaWorld world_;
    LetterFaults faults_{world_};
    KafkaNetwork network_{world_};
    Members members_ = Members(world_.scenario.members);
    Acts acts_{world_, network_, faults_, members_};
    KafkaInvariants invariants_{world_, members_};
};

} // namespace bulkhead::inline v1::test::simulation
