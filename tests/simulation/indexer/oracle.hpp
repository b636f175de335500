// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "simulation/indexer/life.hpp"
#include "simulation/kit/faulty_sink.hpp"
#include <bulkhead/dead_letter.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

/// When an operation may be sent, and as what it may end, by rules that share nothing with the library.
namespace bulkhead::inline v1::test::simulation {

class Oracle {
public:
    explicit Oracle(Life& life) : life_{life} {}

    /// The operations of a request are sent.
    void sent(const std::vector<Found>& found) {
        for (const auto& one : found) {
            auto& op = life_.operations[one];
            if (op.sent_as.empty()) op.sent_as = one.lines;
            life_.expect(one.lines == op.sent_as, "an operation is sent again byte for byte", op);
            check_sent(op);
            ++op.sent;
            ++op.in_flight;
            if (found.size() != 1) op.failed_alone_at = never; // from now on it has a history with others
        }
    }
    /// Their request is answered, or its connection is lost.
    void landed(const std::vector<Found>& found) {
        for (const auto& one : found) --life_.operations[one].in_flight;
    }
    void settled(const Settlement& settlement) {
        auto& expect = life_.expect;
        expect(settlement.key < life_.operations.size(), "a settlement is for an operation that was handed in");
        auto& op = life_.operations[settlement.key];
        life_.coverage.outcomes.count(settlement.outcome);
        life_.coverage.digest.settled(settlement.key, settlement.outcome, ManualClock::now().time_since_epoch());
        op.outcome = settlement.outcome;
        expect(settlement.attempts <= op.charged &&
                   (settlement.attempts + op.perhaps_charged >= op.charged || life_.scenario.with_sink),
               "attempts are counted by operation, wherever it travels", op);
        const bool exhausted = has_no_attempt_left(op);
        if (exhausted) life_.mark(Mark::attempts_ended);
        expect(op.observed, "who is gone is told nothing", op);
        expect(op.accepted && ++op.settled == 1, "an accepted operation settles once", op);
        check_outcome(settlement, op, exhausted);
    }
    /// The sink takes dead letters.
    void record_dead_letters(std::span<const DeadLetter> letters) {
        for (const auto& letter : letters) {
            const auto lines = std::string{letter.action_line} + "\n" +
                               (letter.source.empty() ? "" : std::string{letter.source} + "\n");
            const auto found = life_.operations.read(lines);
            life_.expect(found.size() == 1, "a dead letter is one operation");
            auto& op = life_.operations[found[0]];
            // A sink that had not ended at a close's deadline may take it all the same.
            life_.expect((op.accepted || op.waiting) &&
                             (op.settled == 0 || (life_.closing && op.outcome == Outcome::rejected)),
                         "a dead letter is an operation that has not settled", op);
            life_.expect(lines == op.sent_as, "a dead letter holds the bytes that were sent", op);
            op.in_sink = true;
        }
    }
    /// The store ends with the last of each id that was applied, when every attempt was answered.
    void check_order() {
        if (life_.options().ordering != Ordering::per_id) return;
        for (const auto& [id, numbers] : life_.operations.by_id()) {
            std::uint64_t last = 0;
            bool certain = true;
            bool any = false;
            for (const auto number : numbers) {
                const auto& op = life_.operations[number];
                certain = certain && !op.lost && op.applied <= 1 && op.observed;
                if (op.applied == 0) continue;
                any = true;
                last = number;
            }
            if (!certain || !any) continue;
            life_.mark(Mark::order_proven);
            life_.expect(life_.operations.last_applied(id) == last, "the store ends with the last operation of an id",
                         life_.operations[last]);
        }
    }
    /// After a step every observer has been called: operations before which others of their id were sent have settled.
    void check_turns() {
        for (const auto number : must_settle_)
            life_.expect(life_.operations[number].settled == 1 || !life_.operations[number].observed,
                         "an operation of an id waits until the one before it has settled", life_.operations[number]);
        must_settle_.clear();
    }

private:

    void check_sent(const Op& op) {
        auto& expect = life_.expect;
        const auto& options = life_.options();
        const auto now = ManualClock::now();
        expect(!op.in_sink, "a dead letter is not sent again", op);
        if (options.ordering == Ordering::per_id && !op.id.empty()) await_turn(op);
        expect(op.accepted || op.waiting, "only what was accepted is sent", op);
        expect(now >= op.not_before, "what was refused is sent again after its backoff", op);
        expect(op.charged - op.perhaps_charged < options.retry.max_attempts || op.takes_time ||
                   life_.scenario.with_sink || // floods take charges back
                   (op.nonsense_with_others && op.charged < options.retry.max_attempts + max_halvings),
               "no operation is sent again when its attempts ran out", op);
        expect(op.settled == 0, "what has settled is not sent again", op);
        expect(op.in_flight == 0, "an operation is in one request at a time", op);
        expect(!op.lost || op.repeatable || options.duplicates == Duplicates::allow,
               "what may have been applied is repeated only where that does no harm", op);
    }
    /// An operation of an id is sent only when all before it have settled, of which their observers are notified in
    /// this step.
    void await_turn(const Op& op) {
        for (const auto earlier : life_.operations.of_id(op.id)) {
            if (earlier == op.number) return;
            const auto& before = life_.operations[earlier];
            life_.expect(before.in_flight == 0, "one operation of an id is under way", before);
            if (before.settled == 0 && before.observed) must_settle_.push_back(earlier);
            if (before.settled == 0) life_.mark(Mark::waited_for_id);
        }
    }
    [[nodiscard]] bool has_no_attempt_left(const Op& op) const {
        const auto& retry = life_.options().retry;
        const auto min_time =
            retry.max_attempts == 1 ? std::chrono::milliseconds{0} : std::min(retry.min_retry_time, retry.max_age);
        return op.meaning == Meaning::again && op.charged >= retry.max_attempts &&
               (!op.takes_time || ManualClock::now() - op.refused_since >= min_time);
    }
    void check_outcome(const Settlement& settlement, const Op& op, bool exhausted) {
        auto& expect = life_.expect;
        switch (settlement.outcome) {
        case Outcome::indexed:
            if (op.meaning == Meaning::as_done) break;
            expect(op.applied > 0, "what is reported as indexed was applied before", op);
            expect(settlement.status < 300 || (settlement.status == 404 && op.action == Action::delete_),
                   "a success is reported with its own status", op);
            break;
        case Outcome::superseded:
            expect(op.meaning == Meaning::there, "what is reported as superseded is said to be there", op);
            break;
        case Outcome::dead_lettered:
            expect(op.in_sink, "a dead letter settles when the sink has taken it", op);
            expect(op.applied == 0 || op.perhaps_there(), "a dead letter was not applied", op);
            expect(op.meaning == Meaning::no || exhausted, "a dead letter was refused for good", op);
            break;
        case Outcome::dropped:
            expect(life_.options().overflow == Overflow::drop_oldest && op.sent == 0, "what is dropped was never sent",
                   op);
            break;
        case Outcome::rejected: // the server's answer to an attempt does not cover one before that was lost
            expect(op.applied == 0 || op.perhaps_there(), "what is reported as rejected was not applied", op);
            expect(op.meaning == Meaning::no || op.meaning == Meaning::never_mind || exhausted,
                   "what is reported as rejected was refused for good", op);
            expect(!life_.scenario.with_sink || life_.closing || op.meaning == Meaning::never_mind,
                   "what is refused for good goes to the sink", op);
            expect(settlement.status >= 400, "a refusal is reported with its own status", op);
            break;
        case Outcome::undelivered:
            expect(op.applied == 0, "what is reported as undelivered was not applied", op);
            break;
        case Outcome::unknown:
            expect(op.lost || op.read || op.in_flight != 0, "unknown is what was sent and not answered", op);
            break;
        }
    }

    Life& life_;
    std::vector<std::uint64_t> must_settle_; ///< by the end of this step
};

/// What the dead-letter sink of this life does, for `FaultySink`.
class SinkFaults {
public:
    SinkFaults(Life& life, Oracle& oracle) : life_{life}, oracle_{oracle} {}
    SinkAttempt begin_write() {
        const bool fails = !life_.calm && life_.random.below(10) < life_.scenario.sink_trouble;
        if (fails) life_.mark(Mark::sink_failed);
        const bool slow = life_.random.below(10) < life_.scenario.sink_trouble;
        if (slow) life_.mark(Mark::sink_slow);
        return {std::chrono::milliseconds{slow ? 300 : 0}, fails};
    }
    error_code end_write(SinkAttempt attempt, std::span<const DeadLetter> letters) {
        if (attempt.fails) return errc::sink_full;
        oracle_.record_dead_letters(letters);
        return {};
    }

private:

    Life& life_;
    Oracle& oracle_;
};

} // namespace bulkhead::inline v1::test::simulation
