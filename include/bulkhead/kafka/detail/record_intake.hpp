// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/kafka/detail/record_mapping.hpp>
#include <bulkhead/kafka/detail/source_ledger.hpp>
#include <bulkhead/kafka/operation_sink.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

namespace bulkhead::inline v1::detail {

/// A record's way in: map → track → enqueue. The record that the indexer has no room for stays here, encoded: the
/// stash. A record that never becomes operations of the indexer is resolved by the policies.
template <OperationSink Indexer, Consumer C, Mapper M, class Clock>
class RecordIntake {
public:
    using Ledger = SourceLedger<C, Clock>;

    RecordIntake(Indexer& indexer, M mapper, Ledger& ledger)
        : indexer_{indexer}, ledger_{ledger}, mapping_{std::move(mapper), indexer.options().index},
          subscription_{indexer.subscribe(indexer.get_executor(), InboxObserver{ledger.inbox()})} {}
    /// From here on no settlement comes in.
    void close() noexcept { subscription_.reset(); }

    [[nodiscard]] bool is_stashed() const noexcept { return stash_.has_value(); }
    [[nodiscard]] bool is_ours(const Ticket& ticket) const noexcept {
        return subscription_.ticket(ticket.key) == ticket;
    }

    Delivered take(Partition& p, const Record& record) {
        const bool asked =
            record.payload || (TombstoneMapper<M> && ledger_.options().on_tombstone == OnTombstone::delete_document);
        const auto mapped = map(p, record, asked);
        if (!mapped) return Delivered::busy;
        if (!p.assigned) return Delivered::ignored; // the mapper gave it back
        auto& stats = ledger_.stats();
        ++stats.consumed;
        move_to(p, record);
        if (*mapped == Mapped::operations) {
            enqueue(p, record);
            return Delivered::taken;
        }
        const auto tracked = ledger_.track(p, record.offset, 1);
        if (*mapped == Mapped::invalid) {
            refuse(tracked, &record, RecordProblem::invalid, mapping_.why());
        } else if (asked) {
            ++stats.skipped;
            ledger_.end(p, tracked.sequence, p.tracker.settle_record(tracked.sequence));
        } else {
            refuse(tracked, &record, RecordProblem::tombstone);
        }
        ledger_.limit_span(p);
        return Delivered::taken;
    }

    void retry_stash() {
        if (!stash_) return;
        const auto tracked = *stash_;
        if (!hand_over(tracked, nullptr)) return;
        stash_.reset();
        if (ledger_.flow().draining()) indexer_.flush();
    }
    /// Drops the stash where it is a record of one of these partitions.
    void drop_stash_of(std::span<const TopicPartition> names) noexcept {
        if (!stash_) return;
        for (const auto& name : names) {
            if (ledger_.partitions().find(name.topic, name.partition) != stash_->partition) continue;
            drop_stash();
            return;
        }
    }
    /// The assignment of this partition is over.
    void leave(Partition& p) noexcept {
        if (stash_ && stash_->partition == &p) drop_stash();
        ledger_.forget_unsettled(p, std::numeric_limits<std::int64_t>::min(), [](OffsetTracker& t) { t.restart(); });
        p.leave();
    }

private:
    /// Nothing when memory runs out. From here on the tracker has room for the record.
    std::optional<Mapped> map(Partition& p, const Record& record, bool asked) {
        std::optional mapped = Mapped::skip;
        mapping_.clear();
        ledger_.set_latest_operations(0);
        if (asked) {
            const Flag calling{ledger_.calling()};
            mapped = mapping_.map(record);
        }
        ledger_.set_latest_operations(mapping_.operations().operations());
        try {
            p.tracker.reserve_one();
        } catch (const std::bad_alloc&) {
            return std::nullopt;
        }
        return mapped;
    }
    /// The client stands at this record now, be it that it has gone back.
    void move_to(Partition& p, const Record& record) {
        const auto next = p.tracker.next();
        if (!next) p.floor = record.offset;
        if (next && record.offset < *next) go_back(p, record.offset);
        p.rewinds.taken(record.offset, record.timestamp_ms);
        p.sought.reset();
        ledger_.partitions().mark_dirty(p);
    }
    void go_back(Partition& p, std::int64_t offset) {
        ++ledger_.stats().rewinds;
        ledger_.forget_unsettled(p, offset, [offset](OffsetTracker& tracker) { tracker.rewind(offset); });
        if (!p.fell_below_stored(offset)) return;
        ledger_.report({.kind = SourceEvent::Kind::rewound,
                        .offset = offset,
                        .reason = "below the last stored offset: the topic was created again, its log was truncated, "
                                  "or the committed offset was out of range"},
                       p);
    }

    void enqueue(Partition& p, const Record& record) {
        const auto operations = mapping_.operations().operations();
        const auto tracked =
            ledger_.track(p, record.offset, ledger_.at_least_once() ? static_cast<std::uint32_t>(operations) : 1);
        ledger_.limit_span(p);
        if (ledger_.options().keep_records) {
            ledger_.letters().keep(tracked, record);
            if (ledger_.flow().too_many_cached(ledger_.letters().cached_bytes()))
                ledger_.hold(PauseReason::kept_records);
        }
        if (!hand_over(tracked, &record)) {
            stash_ = tracked;
            ++ledger_.stats().full;
            ledger_.hold(PauseReason::budget);
        }
    }
    /// False: the indexer is full, and the record is as before. `record` is null for the stash.
    bool hand_over(const Tracked& tracked, const Record* record) {
        auto& p = *tracked.partition;
        switch (indexer_.try_enqueue(mapping_.operations(), subscription_.ticket(ledger_.key_of(tracked)))) {
        case Admission::full: return false;
        case Admission::closed: refuse(tracked, record, RecordProblem::closed); break;
        case Admission::invalid:
            refuse(tracked, record, RecordProblem::invalid, to_string(errc::invalid_operation));
            break;
        case Admission::too_large: refuse(tracked, record, RecordProblem::too_large); break;
        case Admission::accepted:
            ledger_.handed_over(mapping_.operations().operations());
            if (!ledger_.at_least_once()) ledger_.end(p, tracked.sequence, p.tracker.settle_record(tracked.sequence));
            break;
        }
        return true;
    }
    /// It was never handed over, so no settlement will come that anything could wait for.
    void drop_stash() noexcept {
        auto& p = *stash_->partition;
        ledger_.end(p, stash_->sequence, p.tracker.fail_record(stash_->sequence));
        stash_.reset();
    }

    /// The record never became operations of the indexer.
    void refuse(const Tracked& tracked, const Record* record, RecordProblem problem, std::string_view why = {}) {
        auto& p = *tracked.partition;
        const auto type = count_refused(tracked, problem, why);
        const auto resolution = resolve(problem, ledger_.policies());
        switch (resolution.action) {
        case Resolution::Action::commit:
            ledger_.end(p, tracked.sequence, p.tracker.settle_record(tracked.sequence));
            return;
        case Resolution::Action::stop:
            ledger_.end(p, tracked.sequence, p.tracker.fail_record(tracked.sequence));
            return ledger_.stop(resolution.stop);
        case Resolution::Action::dead_letter: break;
        }
        KafkaLetter letter;
        letter.type = type;
        letter.reason = why;
        letter.record = record;
        if (record == nullptr) letter.source = mapping_.operations().body(); // the stash: the record itself is gone
        ledger_.send_letter(tracked, letter, true);
        if (!ledger_.at_least_once()) ledger_.end(p, tracked.sequence, p.tracker.settle_record(tracked.sequence));
    }
    /// Counts and reports it. Returns the type of its dead letter.
    std::string_view count_refused(const Tracked& tracked, RecordProblem problem, std::string_view why) noexcept {
        auto& stats = ledger_.stats();
        SourceEvent event{.offset = tracked.offset, .reason = why};
        std::string_view type;
        switch (problem) {
        case RecordProblem::closed: return type;
        case RecordProblem::invalid:
            ++stats.invalid;
            event.kind = SourceEvent::Kind::invalid;
            type = "invalid";
            break;
        case RecordProblem::tombstone:
            ++stats.without_payload;
            ++stats.skipped;
            event.kind = SourceEvent::Kind::without_payload;
            type = "tombstone";
            break;
        case RecordProblem::too_large:
            ++stats.too_large;
            event.kind = SourceEvent::Kind::too_large;
            event.type = type = to_string(errc::too_large);
            break;
        }
        ledger_.report(event, *tracked.partition);
        return type;
    }

    Indexer& indexer_;
    Ledger& ledger_;
    RecordMapping<M> mapping_;
    OperationSubscription<Indexer> subscription_;
    std::optional<Tracked> stash_; ///< the record that did not fit; its operations are in `mapping_`
};

} // namespace bulkhead::inline v1::detail
