// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "simulation/kafka/member.hpp"
#include "simulation/kafka/network.hpp"
#include "simulation/kafka/world.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

/// What happens to a group: records, faults, and members that come, go, hang and are killed.
namespace bulkhead::inline v1::test::simulation {

class Acts {
public:
    Acts(KafkaWorld& world, KafkaNetwork& network, LetterFaults& faults, Members& members)
        : world_{world}, network_{network}, faults_{faults}, members_{members}, killed_(members.size()) {}

    /// Something happens.
    void act() {
        auto& random = world_.random;
        auto& kafka = world_.kafka;
        auto& slot = members_[random.below(members_.size())];
        const auto any_log = [&] { return random.below(kafka.logs()); };
        switch (const auto what = random.below(26); what) {
        default: return produce(random.below(25));
        case 8: return leave_gap(any_log(), 90);
        case 9:
        case 10:
        case 11:
            if (!slot) start(slot);
            return;
        case 12:
        case 13:
        case 14:
        case 15:
        case 16:
        case 18:
        case 19:
            if (slot) act_on(slot, what);
            return;
        case 17: return kafka.rebalance();
        case 20:
            kafka.fail_commits = random.once_in(3);
            kafka.lose_commit_answers = random.once_in(3);
            return;
        case 21:
            for (auto& member : members_)
                if (member) rewind(*member);
            return;
        case 22: return remove_below_committed(any_log());
        case 23: return change_limits();
        case 24: return create_again(std::string{kafka.name(any_log()).topic});
        case 25: return truncate(any_log());
        }
    }
    void produce(std::size_t records) {
        auto& random = world_.random;
        const auto& scenario = world_.scenario;
        for (; records != 0; --records) {
            auto kind = Kind::document;
            if (!scenario.kinds.empty() && random.once_in(4)) kind = random.pick(scenario.kinds);
            if ((kind == Kind::poison && !scenario.faults.allows(Fate::malformed)) ||
                (kind == Kind::bad && !random.once_in(3)))
                kind = Kind::document;
            const auto log = random.below(world_.kafka.logs());
            if (random.once_in(12)) leave_gap(log, 3);
            const auto filler = kind == Kind::oversize ? 1000 : random.below(120);
            world_.facts.produce(log, kind, filler, random.below(100));
            world_.coverage.kinds.count(kind);
            ++world_.coverage.records;
        }
    }
    void start(std::unique_ptr<Member>& slot) {
        const auto place = std::size_t(&slot - members_.data());
        const bool statically = world_.scenario.static_members;
        if (statically) // a member that comes back in time has what it had
            for (const auto& [due, member] : expiries_)
                if (member == killed_[place] && world_.kafka.has_member(member)) world_.mark(KafkaMark::taken_over);
        slot = std::make_unique<Member>(world_, network_, faults_, place,
                                        statically ? "instance-" + std::to_string(place) : std::string{});
    }
    void kill(std::unique_ptr<Member>& slot) {
        auto& member = *slot;
        ++world_.coverage.crashes;
        if (member.auditor.books.waiting() == 0) world_.mark(KafkaMark::killed_idle);
        if (!member.script->waiting().empty()) world_.mark(KafkaMark::killed_in_flight);
        if (member.revoke.under_way) world_.mark(KafkaMark::killed_in_drain);
        if (!member.auditor.letters.posted.empty()) world_.mark(KafkaMark::killed_in_letters);
        if (member.auditor.stash) world_.mark(KafkaMark::killed_in_stash);
        for (const auto log : member.client.owned())
            if (member.client.paused(log)) world_.mark(KafkaMark::killed_paused);
        killed_[member.place] = member.client.member();
        const auto patience = std::chrono::milliseconds{world_.random.between(10, 1500)};
        expiries_.emplace_back(ManualClock::now() + patience, member.client.member());
        if (world_.random.once_in(3)) { // not killed quite dead: what it has posted still runs
            member.source.reset();
            member.indexer.reset();
            member.run();
        }
        remove(slot);
    }
    /// A process is gone.
    void remove(std::unique_ptr<Member>& slot) {
        world_.coverage.taken += slot->auditor.books.taken();
        slot.reset();
    }
    /// The group gives up members whose time has come.
    void expire() {
        for (std::size_t i = 0; i < expiries_.size();) {
            if (expiries_[i].first > ManualClock::now()) {
                ++i;
                continue;
            }
            world_.kafka.expire(expiries_[i].second);
            expiries_.erase(expiries_.begin() + std::ptrdiff_t(i));
        }
    }
    [[nodiscard]] bool expects_expiry() const noexcept { return !expiries_.empty(); }
    /// The faults end.
    void heal() {
        world_.calm = true;
        world_.kafka.fail_commits = world_.kafka.lose_commit_answers = false;
        world_.scenario.heal();
        for (auto& member : members_) {
            if (!member) continue;
            member->client.store_error = member->client.pause_error = {};
            member->kill_in = 0;
            member->stalled_until = {};
        }
    }

private:
    void act_on(std::unique_ptr<Member>& slot, std::size_t what) {
        auto& random = world_.random;
        auto& client = slot->client;
        switch (what) {
        case 12: {
            if (slot->phase != Member::Phase::running) return;
            const auto time = std::chrono::milliseconds{random.below(1500)};
            return slot->leave(time, random.once_in(4));
        }
        case 13: return kill(slot);
        case 14: // at some point of what it does next
            slot->kill_in = random.between(1, 30);
            return;
        case 15: // it hangs; the group may lose patience before it wakes up
            slot->stalled_until = ManualClock::now() + std::chrono::milliseconds{random.between(50, 1500)};
            if (random.once_in(2)) expiries_.emplace_back(ManualClock::now() + 300ms, client.member());
            return;
        case 16:
            if (random.once_in(2)) world_.kafka.expire(client.member());
            return;
        case 18: client.store_error = random.once_in(2) ? error_code{errc::full} : error_code{}; return;
        default: client.pause_error = random.once_in(3) ? error_code{errc::full} : error_code{};
        }
    }
    void leave_gap(Log log, std::size_t max) {
        world_.kafka.leave_gap(log, 1 + std::int64_t(world_.random.below(max)));
    }
    /// Retention, as far as nothing is lost by it.
    void remove_below_committed(Log log) {
        const auto committed = world_.kafka.committed(log);
        if (!committed || world_.group[log].stale) return;
        world_.kafka.remove_below(log, *committed);
        world_.mark(KafkaMark::retention);
    }
    void create_again(const std::string& topic) {
        auto& kafka = world_.kafka;
        if (!world_.random.once_in(3)) return;
        std::vector<Log> logs;
        for (Log log = 0; log < kafka.logs(); ++log)
            if (kafka.name(log).topic == topic) logs.push_back(log);
        for (const auto log : logs)
            if (reads_again(log)) return;
        for (const auto log : logs)
            if (kafka.end(log) != 0 && kafka.committed(log)) world_.mark(KafkaMark::created_again);
        kafka.create_again(topic, world_.random.once_in(2));
        for (const auto log : logs) was_cut(log, 0);
    }
    void truncate(Log log) {
        auto& kafka = world_.kafka;
        if (kafka.end(log) == 0 || reads_again(log)) return;
        kafka.truncate(log, kafka.end(log) - 1 - std::int64_t(world_.random.below(20)));
        world_.mark(KafkaMark::truncated);
        was_cut(log, kafka.end(log));
    }
    /// A member has sought back and reads what it had read. Where the log is cut meanwhile it never goes back, and
    /// cannot know that the records are other ones.
    [[nodiscard]] bool reads_again(Log log) const {
        return std::any_of(members_.begin(), members_.end(), [log](const auto& member) {
            return member && member->auditor.positions.sought.count(log) != 0;
        });
    }
    void was_cut(Log log, std::int64_t from) {
        world_.facts.cut(log, from);
        world_.group[log].proven = std::min(world_.group[log].proven, from);
        world_.group[log].stale = true;
        for (auto& member : members_)
            if (member) member->auditor.positions.met.erase(log);
    }
    /// Its client seeks back in one partition.
    void rewind(Member& member) {
        const auto owned = member.client.owned();
        if (owned.empty()) return;
        const auto log = world_.random.pick(owned);
        auto& books = member.auditor.books;
        auto& positions = member.auditor.positions;
        if (member.client.store_error) return; // where it stood before may not be set yet
        if (books.next(log) < 0) return;       // below what is committed a source cannot know that it is
        if (positions.epochs.at(log) != world_.kafka.epoch(log)) return; // it would not see that the records are others
        const auto back = std::int64_t(world_.random.below(40));
        const auto to = std::max<std::int64_t>(0, books.next(log) - back);
        const auto name = world_.kafka.name(log);
        member.client.seek(log, to);
        member.source->seeking(name.topic, name.partition, to);
        auto& settled = positions.settled_before[log];
        settled = std::max(settled, books.watermark(log));
        auto& read = positions.sought[log];
        read = std::max(read, books.next(log));
        std::erase_if(member.held, [&](const ModelRecord& record) { return world_.log_of(record) == log; });
    }
    void change_limits() {
        auto& random = world_.random;
        for (auto& member : members_) {
            if (!member) continue;
            Limits limits;
            limits.max_buffered_operations = random.once_in(2) ? random.between(4, 20) : random.between(20, 1000);
            world_.expect(!member->indexer->change_limits(limits), "limits within their ranges are taken");
        }
    }

    KafkaWorld& world_;
    KafkaNetwork& network_;
    LetterFaults& faults_;
    Members& members_;
    std::vector<std::pair<Time, std::uint64_t>> expiries_; ///< when the group gives which member up
    std::vector<std::uint64_t> killed_;                    ///< by place: the member that was killed last; 0: none
};

} // namespace bulkhead::inline v1::test::simulation
