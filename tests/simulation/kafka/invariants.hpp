// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "simulation/kafka/member.hpp"
#include "simulation/kafka/world.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

/// What holds after every step of a group's life, and at its end.
namespace bulkhead::inline v1::test::simulation {

/// What a member's source counts, when it has been polled.
class MemberInvariants {
public:
    explicit MemberInvariants(KafkaWorld& world) : world_{world} {}

    void check(Member& member) {
        world_.expect.rethrow();
        check_counters(member);
        check_accepting(member);
        const auto* const must_stop = member.auditor.must_stop;
        if (must_stop != nullptr) world_.expect(member.source->stopped(), "a source stops", std::string{must_stop});
        world_.expect(!member.source->stopped() || must_stop != nullptr, "a source does not stop without a reason");
        if (!member.client.pause_error) check_paused(member);
    }

private:
    void check_counters(const Member& member) const {
        auto& expect = world_.expect;
        const auto stats = member.source->stats();
        const auto& books = member.auditor.books;
        expect(stats.consumed == stats.settled + stats.tracked + stats.stashed + stats.failed + stats.abandoned,
               "I23: the counters add up");
        expect(stats.consumed == books.taken(), "I23: every record is counted once");
        expect(stats.stashed == (member.auditor.stash ? 1U : 0U), "I23: the stash is what did not fit");
        if (stats.tracked + stats.stashed == books.waiting() && stats.failed == books.failed() &&
            stats.abandoned == books.abandoned())
            return;
        expect(false, "I23: every record that waits is tracked once, and nothing is forgotten",
               "waiting " + std::to_string(stats.tracked + stats.stashed) + ", in our books " +
                   std::to_string(books.waiting()) + "; failed " + std::to_string(stats.failed) + ", " +
                   std::to_string(books.failed()) + "; abandoned " + std::to_string(stats.abandoned) + ", " +
                   std::to_string(books.abandoned()));
    }
    /// Why it takes no records.
    void check_accepting(Member& member) {
        auto& auditor = member.auditor;
        const bool accepting = member.source->accepting();
        const auto letter_bytes = auditor.letters.bytes();
        if (letter_bytes >= member.options.max_letter_bytes) {
            world_.mark(KafkaMark::letters_full);
            world_.expect(!accepting, "letters on their way are bounded");
        }
        if (accepting) {
            auditor.was_full = false;
        } else if (auditor.stash) {
            auditor.was_full = true;
        } else if (!auditor.was_full && letter_bytes < 512 && member.phase == Member::Phase::running &&
                   !member.source->stopped()) {
            world_.mark(KafkaMark::kept_full);
        }
    }
    void check_paused(const Member& member) {
        const auto& books = member.auditor.books;
        for (const auto log : member.client.owned()) {
            const Place place{log, books.next(log)};
            const auto limit = member.options.max_span_per_partition;
            const auto span = std::size_t(place.offset < 0 ? 0 : place.offset - books.watermark(log));
            const bool paused = member.client.paused(log);
            if (span > limit) {
                world_.mark(KafkaMark::span_paused);
                world_.expect(paused, "I24: a partition that is far ahead is paused", place);
            }
            world_.expect(books.held(log) <= 2 * limit + 1, "I24: what is tracked is bounded", place);
            if (member.auditor.stash && member.options.pause_after == 0ms)
                world_.expect(paused, "a full indexer pauses everything", place);
        }
    }

    KafkaWorld& world_;
};

class KafkaInvariants {
public:
    KafkaInvariants(KafkaWorld& world, const Members& members) : world_{world}, members_{members} {}

    /// After every step.
    void check() {
        auto& expect = world_.expect;
        expect.rethrow();
        for (const auto& violation : world_.kafka.violations()) expect(false, ("Kafka: " + violation).c_str());
        for (Log log = 0; log < world_.kafka.logs(); ++log) check_committed(log);
        for (const auto& member : members_) {
            if (!member) continue;
            const auto stats = member->indexer->stats();
            expect(stats.buffered_bytes <= world_.scenario.indexer.max_buffered_bytes, "I12: the byte budget holds");
            expect(stats.accepted == stats.settled() + stats.pending, "I19: the counters add up");
            if (member->stalled_until <= member->last_turn)
                expect(ManualClock::now() - member->last_turn <= world_.scenario.revoke_drain + 200ms,
                       "I25: a member polls in time, whatever happens");
        }
    }
    [[nodiscard]] bool anybody() const {
        return std::any_of(members_.begin(), members_.end(), [](const auto& member) { return member != nullptr; });
    }
    /// Why the group is not at rest; empty when it is. `network_idle`: nothing is under way to a server or the brokers.
    [[nodiscard]] std::string why_not_at_rest(bool network_idle) const {
        const auto& kafka = world_.kafka;
        if (!kafka.stable() || !network_idle) return "the group moves";
        for (Log log = 0; log < kafka.logs(); ++log) {
            const auto end = world_.facts.end(log);
            if (world_.committed(log) < end || (world_.group[log].stale && world_.facts.unread(log)))
                return "partition " + std::to_string(log) + " is committed to " +
                       std::to_string(world_.committed(log)) + " of " + std::to_string(end);
        }
        for (const auto& member : members_) {
            if (!member) continue;
            if (member->phase != Member::Phase::running || member->source->stopped()) return "a member ends";
            if (!kafka.has_member(member->client.member())) return "a member is not in the group";
            if (member->indexer->stats().pending != 0) return "an indexer has operations pending";
            if (!member->source->drained() || !member->source->accepting()) return "a source is not done";
            for (const auto log : member->client.owned())
                if (member->client.paused(log)) return "a partition is still paused";
        }
        return {};
    }
    /// Whether a member reads again what is committed already: its client went back.
    [[nodiscard]] bool anybody_reads() const {
        for (const auto& member : members_) {
            if (!member) continue;
            for (const auto log : member->client.owned())
                if (member->client.position(log) < world_.facts.end(log)) return true;
        }
        return false;
    }
    /// The life is over: what was produced is in the store, in the dead-letter topic, or given up by name.
    void check_end() {
        std::size_t documents = 0;
        for (const auto& record : world_.facts.records()) {
            if (!record.gone) {
                if (!world_.facts.safe(record)) world_.expect(false, "I26: nothing is lost", record);
                world_.expect(record.delivered != 0, "every record is read", record);
            }
            for (const auto& operation : record.operations) documents += documents_of(record, operation);
        }
        for (const auto& [id, newest] : world_.facts.newest()) {
            const auto source = world_.server.source("logs", id);
            if (newest.fact().source.empty()) {
                world_.expect(!source, "what was deleted last is gone", *newest.record);
            } else {
                ++documents;
                world_.expect(source == newest.fact().source, "the newest of a key is what is stored", *newest.record);
            }
        }
        world_.expect(world_.server.count("logs") == documents,
                      "I26: a record leaves one document, however often it was sent");
    }

private:
    void check_committed(Log log) {
        auto& group = world_.group[log];
        if (group.stale) return;
        auto& kafka = world_.kafka;
        const auto committed = world_.committed(log);
        const bool was_set = std::exchange(group.sets, kafka.times_set(log)) != group.sets;
        if (was_set && kafka.epoch(log) != 0) group.proven = std::min(group.proven, committed);
        world_.expect(committed >= group.proven,
                      "I21: what the group has committed goes back only where a log was created again or truncated",
                      Place{log, committed});
        if (committed == group.proven) return;
        const auto* const unsafe = world_.facts.first_unsafe(log, group.proven, committed);
        if (unsafe != nullptr) world_.expect(false, "I26: what is below a committed offset is safe", *unsafe);
        group.proven = committed;
    }
    /// How many documents of an operation that has no version must be in the store.
    [[nodiscard]] std::size_t documents_of(const RecordFact& record, const OperationFact& operation) const {
        if (operation.id.empty()) return operation.applied;
        if (operation.version >= 0 || operation.applied == 0) return 0;
        world_.expect(world_.server.source("logs", operation.id) == operation.source,
                      "a document is stored under its id, byte for byte", record);
        world_.expect(operation.applied == 1, "a document is created once", record);
        return 1;
    }

    KafkaWorld& world_;
    const Members& members_;
};

} // namespace bulkhead::inline v1::test::simulation
