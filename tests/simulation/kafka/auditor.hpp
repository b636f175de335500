// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "simulation/kafka/member_books.hpp"
#include "simulation/kafka/spies.hpp"
#include "simulation/kafka/world.hpp"
#include <bulkhead/kafka/source_options.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

/// Whether each call that one member's source makes is right, and what it must end as.
namespace bulkhead::inline v1::test::simulation {

class Auditor final : public SourceListener {
public:
    using Delivery = MemberBooks::Delivery;
    using Offset = std::pair<Log, std::int64_t>;

    Auditor(KafkaWorld& world, LetterFaults& faults, const KafkaSourceOptions& options)
        : world_{world}, faults_{faults}, options_{options} {}

    MemberBooks books;
    MemberPositions positions;
    PostedLetters letters;
    std::optional<Offset> stash;     ///< the record that did not fit
    const char* must_stop = nullptr; ///< why the source must have stopped
    bool was_full = false;           ///< since it took records
    bool closed = false;             ///< its indexer is, or is being

    // ---- Deliveries ----

    /// These records will be delivered next.
    void delivering(std::span<const ModelRecord* const> records) {
        offers_.clear();
        for (const auto* const record : records)
            shown_[{world_.log_of(*record), record->offset}] = world_.facts.find(record->view());
    }
    void offered(const Batch& scratch, std::uint64_t key, Admission admission) noexcept override {
        world_.expect.noting([&] {
            auto& expect = world_.expect;
            const auto found = world_.read_lines(scratch.body());
            expect(!found.empty(), "a record's operations are handed to the indexer");
            const auto& record = *found.front().record;
            expect(found.size() == record.operations.size(), "a record's operations are handed over together", record);
            const Offset place{record.log, record.offset};
            const auto known = keys_.find(key);
            if (known == keys_.end()) {
                keys_[key] = {record.log, record.offset, 0};
                fresh_.push_back(key);
            } else {
                expect(known->second.offset == record.offset && known->second.log == record.log && stash == place,
                       "I23: only what was stashed is handed over again", record);
            }
            offers_[place] = admission;
            if (admission == Admission::full) {
                if (!stash) world_.mark(KafkaMark::full);
                expect(!stash || stash == place, "I23: one record is stashed at most", record);
                stash = place;
            } else {
                stash.reset();
                if (admission == Admission::closed && known != keys_.end())
                    fail(known->second, true, KafkaPolicy::closed_stop);
            }
        });
    }
    /// The source has taken a record.
    void taken(const ModelRecord& from) {
        const auto log = world_.log_of(from);
        auto& fact = *world_.facts.find(from.view());
        if (fact.delivered++ != 0) world_.mark(KafkaMark::taken_again);
        const auto offer = offers_.find({log, from.offset});
        const auto awaited = awaited_of(fact, offer == offers_.end() ? Admission::invalid : offer->second);
        if (awaited.failed) {
            world_.count(*awaited.failed);
            must_stop = "a record whose policy is to stop";
        }
        note_position(log, from.offset, fact.epoch);
        const auto delivery = books.taken(log, from.offset, awaited.things, awaited.failed.has_value());
        bool found = false; // one key a delivery: after a rewind another one of this offset may be fresh as well
        std::erase_if(fresh_, [&](std::uint64_t key) {
            auto& known = keys_[key];
            const bool its = known.log == log && known.offset == from.offset && !found;
            found = found || its;
            if (its) known.serial = delivery.serial;
            return its;
        });
        for (auto& letter : letters.posted)
            if (letter.delivery.serial == 0 && letter.delivery.log == log && letter.delivery.offset == from.offset)
                letter.delivery.serial = delivery.serial;
    }

    // ---- Settlements ----

    void settled(const Settlement& settlement) noexcept override {
        world_.expect.noting([&] {
            world_.coverage.outcomes.count(settlement.outcome);
            world_.coverage.digest.settled(settlement.key, settlement.outcome, ManualClock::now().time_since_epoch());
            const auto known = keys_.find(settlement.key);
            world_.expect(known != keys_.end(), "a settlement is for an operation that was handed over");
            const bool awaited = books.waiting(known->second);
            if (!awaited) world_.mark(KafkaMark::late);
            if (durable(settlement.outcome)) {
                books.ended(known->second, false, false);
                if (settlement.outcome == Outcome::dead_lettered) dead_lettered();
                return;
            }
            unproven(settlement, known->second, awaited);
        });
    }
    /// A delivery that must end as a failure, or a part of it.
    void fail(const Delivery& delivery, bool all, KafkaPolicy policy) {
        if (!books.ended(delivery, true, all)) return;
        world_.count(policy);
        must_stop = "an operation that is not proven";
    }

    // ---- Offsets ----

    void stored(TopicPartition of, std::int64_t next, error_code error) noexcept override {
        world_.expect.noting([&] {
            if (error) return world_.mark(KafkaMark::store_failed);
            auto& expect = world_.expect;
            const auto log = world_.kafka.find(of.topic, of.partition);
            const auto at = positions.stored.find(log);
            const Place place{log, next};
            expect(at != positions.stored.end(), "I22: offsets are stored by the owner only", place);
            expect(next <= books.watermark(log), "I20: no offset is stored above what is not settled", place);
            if (positions.sought.count(log) != 0) positions.settled_before[log] = next;
            expect(next > at->second, "I21: offsets only rise within an assignment, unless they are set", place);
            if (positions.epochs.at(log) == world_.kafka.epoch(log)) { // else of what it has read of the log before
                const auto* const unsafe = world_.facts.first_unsafe(log, at->second, next);
                if (unsafe != nullptr) expect(false, "I20: what is below a stored offset is safe", *unsafe);
            }
            at->second = next;
        });
    }
    void set(TopicPartition of, std::int64_t next, error_code error) noexcept override {
        world_.expect.noting([&] {
            if (error) return world_.mark(KafkaMark::store_failed);
            const auto log = world_.kafka.find(of.topic, of.partition);
            const auto at = positions.stored.find(log);
            const Place place{log, next};
            world_.expect(at != positions.stored.end(), "I22: offsets are set by the owner only", place);
            world_.expect(next <= books.watermark(log), "I20: no offset is set above what is not settled", place);
            at->second = next;
        });
    }
    void pause_failed() noexcept override { world_.mark(KafkaMark::pause_failed); }

    // ---- Dead letters ----

    void posted(const KafkaLetter& letter) noexcept override {
        world_.expect.noting([&] {
            auto& expect = world_.expect;
            Posted posted;
            const auto slow = faults_.is_slow() ? world_.random.below(1500) : 0;
            posted.due = ManualClock::now() + std::chrono::milliseconds{slow};
            posted.whole_record = letter.action_line.empty();
            const bool unknown = letter.type == "unknown_outcome";
            posted.of_sink = !posted.whole_record && !unknown;
            posted.bytes = letter.action_line.size() + letter.source.size();
            if (letter.record != nullptr)
                posted.bytes += letter.record->key.value_or("").size() + letter.record->payload.value_or("").size();
            const auto log = world_.kafka.find(letter.topic, letter.partition);
            RecordFact* const fact = record_of(letter);
            const bool given_up = closed && letter.offset < 0; // by its indexer, already
            expect(fact != nullptr && fact->log == log && (fact->offset == letter.offset || given_up),
                   "a dead letter says where it came from", Place{log, letter.offset});
            posted.record = fact;
            posted.delivery = {log, fact->offset, 0};
            if (posted.whole_record) {
                expect(letter.record != nullptr || fact->kind == Kind::oversize, "the record itself is the letter",
                       *fact);
            } else {
                const auto found = world_.facts.read(letter.action_line, letter.source);
                expect(found.record == fact && found.fact().source == letter.source,
                       "a dead letter holds its operation, byte for byte, and where it came from", *fact);
                if (unknown) posted.delivery = books.latest(log, letter.offset);
            }
            if (letter.record != nullptr)
                expect(letter.record->payload == fact->payload && letter.record->key == fact->key,
                       "a dead letter's record is the one it came from", *fact);
            letters.posted.push_back(posted);
        });
    }
    /// The brokers have a letter.
    void letter_written(const Posted& posted, const ModelLetter& letter) {
        ++world_.coverage.letters;
        if (!posted.whole_record) {
            world_.facts.read(letter.action_line, letter.source).fact().dead_lettered = true;
        } else if (letter.has_record) {
            posted.record->dead_lettered = true;
        } else { // a stash: its operations are all there is
            for (const auto& found : world_.read_lines(letter.source)) found.fact().dead_lettered = true;
        }
        if (!posted.of_sink) books.ended(posted.delivery, false, posted.whole_record);
    }

    // ---- Events ----

    /// The source reports an event: nothing is given up without. Returns the record that it is about, if any.
    RecordFact* event(const SourceEvent& event) {
        using Event = SourceEvent::Kind;
        auto& expect = world_.expect;
        if (event.kind == Event::stopped || event.offset < 0) return nullptr;
        const auto log = world_.kafka.find(event.topic, event.partition);
        const Place place{log, event.offset};
        if (event.kind == Event::rewound) {
            if (event.reason.find("third time") == std::string_view::npos) return nullptr;
            expect(positions.went_back[log] >= 2, "a member's client has gone back again and again", place);
            must_stop = "a client that turns in a circle";
            return nullptr;
        }
        if (event.kind == Event::store_failed) return nullptr;
        // The record of this offset that the source was given last.
        const auto shown = shown_.find({log, event.offset});
        expect(shown != shown_.end() && shown->second != nullptr, "an event is of a record that was delivered", place);
        auto* const fact = shown->second;
        if ((event.kind == Event::without_payload && options_.on_tombstone != OnTombstone::dead_letter) ||
            (event.kind == Event::invalid && options_.on_invalid == OnInvalid::skip) ||
            (event.kind == Event::too_large && options_.on_rejected == OnRejected::skip))
            fact->passed = true;
        const bool closing = event.type == to_string(errc::closed);
        if (event.kind == Event::failed && !closing &&
            ((event.outcome == Outcome::rejected && options_.on_rejected == OnRejected::skip) ||
             (event.outcome == Outcome::unknown && options_.on_unknown == OnUnknown::skip))) {
            const auto found = world_.facts.read(event.action_line, event.source);
            expect(found.record != nullptr && found.record->log == log && found.record->offset == event.offset,
                   "a failure says which operation it is about", *fact);
            found.fact().passed = true;
        }
        return fact;
    }

private:
    /// What a record that was taken waits for before its offset may be stored.
    struct Awaited {
        std::size_t things = 0;
        std::optional<KafkaPolicy> failed{};
    };
    Awaited awaited_of(const RecordFact& fact, Admission admission) {
        switch (admission) {
        case Admission::accepted:
        case Admission::full:
            if (fact.kind == Kind::tombstone) world_.count(KafkaPolicy::tombstone_delete);
            return {fact.operations.size()};
        case Admission::too_large:
            world_.expect(fact.kind == Kind::oversize, "what is too large is too large", fact);
            if (options_.on_rejected == OnRejected::skip) return skipped(KafkaPolicy::large_skip);
            if (options_.on_rejected == OnRejected::dead_letter && world_.scenario.with_topic)
                return letter(KafkaPolicy::large_letter);
            return {0, KafkaPolicy::large_stop};
        case Admission::closed: return {0, KafkaPolicy::closed_stop};
        default: return awaited_unmapped(fact);
        }
    }
    /// Nothing of the record was handed to the indexer.
    Awaited awaited_unmapped(const RecordFact& fact) {
        if (fact.kind == Kind::invalid || fact.kind == Kind::throwing) {
            switch (options_.on_invalid) {
            case OnInvalid::skip: return skipped(KafkaPolicy::invalid_skip);
            case OnInvalid::dead_letter: return letter(KafkaPolicy::invalid_letter);
            case OnInvalid::stop: return {0, KafkaPolicy::invalid_stop};
            }
        }
        if (fact.kind == Kind::tombstone) {
            world_.expect(options_.on_tombstone != OnTombstone::delete_document, "a tombstone deletes", fact);
            return options_.on_tombstone == OnTombstone::dead_letter ? letter(KafkaPolicy::tombstone_letter)
                                                                     : skipped(KafkaPolicy::tombstone_skip);
        }
        world_.expect(fact.kind == Kind::nothing, "I23: a record is handed to the indexer, or its policy says why not",
                      fact);
        return {};
    }
    Awaited skipped(KafkaPolicy policy) {
        world_.count(policy);
        return {};
    }
    Awaited letter(KafkaPolicy policy) {
        world_.count(policy);
        return {1};
    }
    void note_position(Log log, std::int64_t offset, std::size_t epoch) {
        if (offset < books.next(log)) {
            world_.mark(KafkaMark::rewound);
            if (positions.sought.count(log) == 0) {
                ++positions.went_back[log];
                positions.settled_before.erase(log);
            }
        }
        if (const auto sought = positions.sought.find(log);
            sought != positions.sought.end() && offset + 1 >= sought->second)
            positions.sought.erase(sought);
        positions.epochs[log] = std::max(positions.epochs[log], epoch);
    }
    void dead_lettered() {
        world_.count(KafkaPolicy::rejected_letter);
        if (options_.on_rejected != OnRejected::stop) return;
        world_.count(KafkaPolicy::rejected_stop);
        must_stop = "a refused operation whose policy is to stop";
    }
    void unproven(const Settlement& settlement, const Delivery& delivery, bool awaited) {
        const bool closing = settlement.failure != nullptr && settlement.failure->type == to_string(errc::closed);
        if (closing) return fail(delivery, false, KafkaPolicy::closed_stop);
        if (settlement.outcome == Outcome::rejected) {
            if (options_.on_rejected != OnRejected::skip) return fail(delivery, false, KafkaPolicy::rejected_stop);
            world_.count(KafkaPolicy::rejected_skip);
            books.ended(delivery, false, false);
        } else if (settlement.outcome == Outcome::unknown) {
            if (options_.on_unknown == OnUnknown::skip) {
                world_.count(KafkaPolicy::unknown_skip);
                books.ended(delivery, false, false);
            } else if (options_.on_unknown == OnUnknown::stop) {
                fail(delivery, false, KafkaPolicy::unknown_stop);
            } else if (awaited) {
                world_.count(KafkaPolicy::unknown_letter); // and the letter ends it
            }
        } else {
            world_.expect(false, "an operation is not given up by age");
        }
    }
    [[nodiscard]] RecordFact* record_of(const KafkaLetter& letter) {
        if (!letter.action_line.empty()) return world_.facts.read(letter.action_line, letter.source).record;
        if (letter.record != nullptr) return world_.facts.find(*letter.record);
        return world_.read_lines(letter.source).front().record; // a stash: its operations are all there is
    }

    KafkaWorld& world_;
    LetterFaults& faults_;
    const KafkaSourceOptions& options_;
    std::map<std::uint64_t, Delivery> keys_;
    std::vector<std::uint64_t> fresh_;    ///< keys of deliveries that are not in the books yet
    std::map<Offset, Admission> offers_;  ///< of the deliveries that are going on
    std::map<Offset, RecordFact*> shown_; ///< the record of an offset that the source was given last
};

} // namespace bulkhead::inline v1::test::simulation
