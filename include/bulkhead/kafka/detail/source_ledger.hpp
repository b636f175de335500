// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/kafka/detail/flow_control.hpp>
#include <bulkhead/kafka/detail/letters/dead_letter_router.hpp>
#include <bulkhead/kafka/detail/partition_table.hpp>
#include <bulkhead/kafka/detail/resolution.hpp>
#include <bulkhead/kafka/detail/settlement_inbox.hpp>
#include <bulkhead/kafka/detail/waiting_events.hpp>
#include <bulkhead/kafka/letter_writer.hpp>
#include <bulkhead/kafka/source_options.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bulkhead::inline v1::detail {

/// What became of the records that a source took: settlements and receipts come in, trackers advance, offsets are
/// stored, partitions are paused, and events are reported. The parts decide; this routes between them and calls the
/// consumer.
template <Consumer C, class Clock>
class SourceLedger {
public:
    using Sequence = OffsetTracker::Sequence;
    using Step = OffsetTracker::Step;
    using Kind = SourceEvent::Kind;

    SourceLedger(C& consumer, KafkaSourceOptions options)
        : consumer_{consumer}, options_{std::move(options)}, inbox_{std::make_shared<SettlementInbox>(
                                                                 std::move(options_.on_wake), bool{options_.on_event},
                                                                 options_.on_unknown == OnUnknown::dead_letter)},
          letters_{inbox_, options_.dead_letters}, flow_{{options_.pause_after, options_.max_span_per_partition,
                                                          options_.max_letter_bytes, options_.max_kept_bytes}} {}
    void close() {
        letters_.close();
        inbox_->stop_waking();
    }

    [[nodiscard]] PartitionTable& partitions() noexcept { return partitions_; }
    [[nodiscard]] const PartitionTable& partitions() const noexcept { return partitions_; }
    [[nodiscard]] FlowControl<typename Clock::time_point>& flow() noexcept { return flow_; }
    [[nodiscard]] const FlowControl<typename Clock::time_point>& flow() const noexcept { return flow_; }
    [[nodiscard]] DeadLetterRouter& letters() noexcept { return letters_; }
    [[nodiscard]] const std::shared_ptr<SettlementInbox>& inbox() const noexcept { return inbox_; }
    [[nodiscard]] const KafkaSourceOptions& options() const noexcept { return options_; }
    [[nodiscard]] SourceStats& stats() noexcept { return stats_; }
    [[nodiscard]] const SourceStats& stats() const noexcept { return stats_; }
    [[nodiscard]] bool at_least_once() const noexcept { return options_.delivery == Delivery::at_least_once; }
    [[nodiscard]] Policies policies() const noexcept {
        return {options_.delivery,     options_.on_rejected, options_.on_invalid,
                options_.on_tombstone, options_.on_unknown,  writes_letters(consumer_)};
    }
    /// Set while the mapper or the observer of events runs.
    [[nodiscard]] bool& calling() noexcept { return calling_; }
    [[nodiscard]] bool calling() const noexcept { return calling_; }

    // ---- Records ----

    /// Of an operation of this record: its settlement finds the partition by it, and the record.
    [[nodiscard]] std::uint64_t key_of(const Tracked& tracked) const noexcept {
        return PartitionTable::key(*tracked.partition,
                                   at_least_once() ? tracked.sequence : static_cast<std::uint64_t>(tracked.offset));
    }
    /// A record was taken; operations of it are to come. Throws nothing when the tracker has room.
    Tracked track(Partition& p, std::int64_t offset, std::uint32_t operations) {
        ++stats_.tracked;
        return {&p, p.tracker.delivered(offset, operations), offset};
    }
    /// Operations were handed over.
    void handed_over(std::size_t operations) noexcept {
        ++stats_.enqueued;
        stats_.operations += operations;
        outstanding_ += operations;
    }
    /// Nothing that was handed over, to the indexer or to the dead-letter topic, waits for its settlement.
    [[nodiscard]] bool is_drained() const noexcept {
        return stats_.tracked == 0 && (at_least_once() || (outstanding_ == 0 && letters_.bytes() == 0));
    }
    /// Counts what the end of an operation, or of all of a record's, has done.
    Step end(Partition& p, Sequence sequence, Step step, bool whole_record = false) noexcept {
        if (step == Step::late) {
            ++stats_.late;
            letters_.ended_late(p, sequence, whole_record);
        }
        if (step == Step::late || step == Step::partly) return step;
        letters_.ended(p, sequence);
        --stats_.tracked;
        ++(step == Step::settled ? stats_.settled : stats_.failed);
        partitions_.mark_dirty(p);
        return step;
    }
    /// Does something to a tracker that may drop records at and above `from`, and counts these.
    template <class F>
    void forget_unsettled(Partition& p, std::int64_t from, F change) {
        letters_.forgetting(p, from);
        const auto waiting = p.tracker.waiting();
        const auto failed = p.tracker.failed();
        change(p.tracker);
        stats_.tracked -= waiting - p.tracker.waiting();
        stats_.failed -= failed - p.tracker.failed();
        stats_.abandoned += waiting - p.tracker.waiting() + failed - p.tracker.failed();
        letters_.forgotten(p);
    }

    // ---- settlement → tracker → offset ----

    void take_settlements() {
        inbox_->take(settlements_);
        if (settlements_.incomplete) stop(StopReason::out_of_memory);
        const auto policies = this->policies();
        for (const auto& note : settlements_.notes) {
            --outstanding_;
            ++stats_.outcomes[static_cast<std::size_t>(note.outcome)];
            auto& p = partitions_.by_key(note.key);
            if (!durable(note.outcome)) report_failure(note, p);
            if (at_least_once())
                settle(p, PartitionTable::number_of(note.key), note,
                       resolve(note.outcome, note.closing, note.failure != 0, policies));
        }
    }
    /// `is_ours`: whether a ticket is of the source's subscription.
    template <class IsOurs>
    void take_receipts(IsOurs is_ours) {
        const auto origin_of = [&](const Ticket& ticket) -> Origin {
            if (!is_ours(ticket)) return {};
            const auto& p = partitions_.by_key(ticket.key);
            return {&p, PartitionTable::number_of(ticket.key), offset_of(p, ticket.key)};
        };
        const auto drained = letters_.take();
        for (const auto& [token, error] : drained.receipts) take_receipt(token, error);
        for (const auto& write : drained.writes) letters_.write_all(consumer_, write, origin_of);
        for (const auto& request : drained.requests) letters_.place_all(request->letters(), origin_of);
    }
    void store_offsets() noexcept {
        partitions_.clean([this](Partition& p) {
            if (p.span_exceeded && flow_.span_is_short(p.span())) {
                p.span_exceeded = false;
                apply_pause(p);
            }
            const auto next = p.storable();
            if (!next) return true;
            const bool set = p.exact && OffsetSetter<C>;
            if (const error_code error = store_offset(p, *next)) {
                ++stats_.store_errors;
                report({.kind = Kind::store_failed, .offset = *next, .reason = describe(error)}, p);
                return false;
            }
            ++(set ? stats_.offsets_set : stats_.offsets_stored);
            p.set_stored(*next);
            return true;
        });
    }

    /// Sends a letter of the source's own; its receipt settles one operation of the record, or all.
    void send_letter(const Tracked& tracked, const KafkaLetter& letter, bool whole_record) {
        letters_.send(consumer_, tracked, letter, key_of(tracked), whole_record);
        if (flow_.too_many_letters(letters_.bytes())) hold(PauseReason::dead_letters);
    }

    // ---- Pauses ----

    /// How many operations the latest record has: if they do not fit now, they come on top of what is outstanding.
    void set_latest_operations(std::size_t operations) noexcept { latest_operations_ = operations; }
    void hold(PauseReason why) {
        flow_.hold(why, outstanding_ / 2 + latest_operations_, Clock::now());
        apply_pauses();
    }
    void update_pauses(bool stashed) {
        if (flow_.is_holding() && flow_.update(pressure(stashed), Clock::now())) apply_pauses();
    }
    [[nodiscard]] PauseReason why_paused(const Partition& p, bool stashed) const noexcept {
        return p.paused ? flow_.reason(p.span_exceeded, pressure(stashed)) : PauseReason::none;
    }
    void limit_span(Partition& p) noexcept {
        if (p.span_exceeded || !flow_.span_is_long(p.span())) return;
        p.span_exceeded = true;
        apply_pause(p);
    }
    void apply_pauses() noexcept {
        pauses_stale_ = false;
        partitions_.for_each_assigned([this](Partition& p) { apply_pause(p); });
    }
    /// Where the client did not take a pause.
    void repeat_pauses() noexcept {
        if (pauses_stale_) apply_pauses();
    }
    void stop(StopReason reason) noexcept {
        if (!flow_.stop(reason)) return;
        apply_pauses();
        report({.kind = Kind::stopped, .type = to_string(reason)});
    }

    // ---- Events ----

    void report(SourceEvent event, const Partition& p) noexcept {
        event.topic = p.topic;
        event.partition = p.number;
        report(event);
    }
    void report(const SourceEvent& event) noexcept {
        if (options_.on_event && !events_.put(event)) ++stats_.event_errors;
    }
    /// Calls the observer with what has happened. Between two steps: it may call the source.
    void report_events() noexcept {
        const Flag running{calling_};
        while (!events_.empty()) {
            try {
                events_.next(options_.on_event);
            } catch (...) { // NOLINT: user code must not throw through a Kafka callback
                ++stats_.event_errors;
            }
        }
    }

private:
    using Note = SettlementInbox::Note;
    using Action = Resolution::Action;

    [[nodiscard]] std::optional<std::int64_t> offset_of(const Partition& p, std::uint64_t key) const noexcept {
        const auto number = PartitionTable::number_of(key);
        return at_least_once() ? p.tracker.offset_of(number) : std::optional{static_cast<std::int64_t>(number)};
    }
    void settle(Partition& p, Sequence sequence, const Note& note, const Resolution& resolution) {
        switch (resolution.action) {
        case Action::commit:
            end(p, sequence, p.tracker.settle(sequence));
            if (resolution.stop != StopReason::none) stop(resolution.stop);
            return;
        case Action::dead_letter:
            if (p.tracker.awaits(sequence)) {
                send_unknown({&p, sequence, *p.tracker.offset_of(sequence)}, note);
            } else {
                end(p, sequence, Step::late);
            }
            return;
        case Action::stop:
            if (end(p, sequence, p.tracker.fail(sequence)) != Step::late) stop(resolution.stop);
            return;
        }
    }
    void send_unknown(const Tracked& tracked, const Note& note) {
        const auto& failure = settlements_.failures[note.failure - 1];
        KafkaLetter letter;
        letter.type = "unknown_outcome";
        letter.reason = failure.reason;
        letter.status = note.status;
        letter.attempts = note.attempts;
        letter.action_line = failure.action_line;
        letter.source = failure.source;
        send_letter(tracked, letter, false);
    }
    void take_receipt(const ReceiptToken& token, const error_code& error) {
        letters_.received(token);
        ++(error ? stats_.letters_failed : stats_.dead_letters);
        auto& p = partitions_.by_key(token.key);
        if (error)
            report({.kind = Kind::letter_failed,
                    .offset = offset_of(p, token.key).value_or(-1),
                    .reason = describe(error)},
                   p);
        if (!at_least_once()) return;
        const auto sequence = PartitionTable::number_of(token.key);
        if (!error) {
            const auto step = token.whole_record ? p.tracker.settle_record(sequence) : p.tracker.settle(sequence);
            end(p, sequence, step, token.whole_record);
        } else if (end(p, sequence, p.tracker.fail_record(sequence), true) != Step::late) {
            stop(StopReason::dead_letter);
        }
    }
    [[nodiscard]] error_code store_offset(const Partition& p, std::int64_t next) noexcept {
        if constexpr (OffsetSetter<C>)
            if (p.exact) return consumer_.set_offset(p.topic, p.number, next);
        return consumer_.store_offset(p.topic, p.number, next);
    }
    [[nodiscard]] Pressure pressure(bool stashed) const noexcept {
        return {stashed, letters_.bytes(), letters_.cached_bytes(), outstanding_};
    }
    void apply_pause(Partition& p) noexcept {
        const bool pause = flow_.must_pause(p.span_exceeded);
        if (!p.must_request(pause)) return;
        const error_code error = pause ? consumer_.pause(p.topic, p.number) : consumer_.resume(p.topic, p.number);
        if (error) {
            pauses_stale_ = true;
        } else {
            p.paused = pause;
            p.pause_confirmed = true;
        }
    }
    void report_failure(const Note& note, const Partition& p) noexcept {
        SourceEvent event{.kind = Kind::failed,
                          .offset = offset_of(p, note.key).value_or(-1),
                          .outcome = note.outcome,
                          .status = note.status};
        if (note.failure != 0) {
            const auto& failure = settlements_.failures[note.failure - 1];
            event.type = failure.type;
            event.reason = failure.reason;
            event.action_line = failure.action_line;
            event.source = failure.source;
        }
        report(event, p);
    }
    [[nodiscard]] static std::string describe(const error_code& error) noexcept {
        try {
            return error.message();
        } catch (const std::exception&) {
            return {};
        }
    }

    C& consumer_;
    KafkaSourceOptions options_;
    std::shared_ptr<SettlementInbox> inbox_;
    PartitionTable partitions_;
    DeadLetterRouter letters_;
    FlowControl<typename Clock::time_point> flow_;
    SettlementInbox::Drained settlements_;
    SourceStats stats_; ///< its `tracked` counts the stash too
    WaitingEvents events_;
    std::uint64_t outstanding_ = 0; ///< operations handed over whose settlement has not come in
    std::size_t latest_operations_ = 0;
    bool calling_ = false;
    bool pauses_stale_ = false; ///< the client did not do what it was asked to
};

} // namespace bulkhead::inline v1::detail
