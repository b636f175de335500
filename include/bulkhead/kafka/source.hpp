// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/kafka/detail/record_intake.hpp>
#include <bulkhead/kafka/detail/source_ledger.hpp>
#include <bulkhead/kafka/operation_sink.hpp>
#include <bulkhead/kafka/record.hpp>
#include <bulkhead/kafka/source_options.hpp>
#include <bulkhead/kafka/source_stats.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bulkhead::inline v1 {

/// Feeds a `BulkIndexer` from any Kafka consumer, without ever waiting and without losing a record.
///
///     deliver(record) → mapper → try_enqueue → … → settlement → inbox → OffsetTracker → Consumer::store_offset
///
/// The caller reports what the client reports: `assigned`, `revoked`, `lost`, each record by `deliver`; and calls
/// `poll()` at least every second, messages or not. No Kafka client is known here; `kafka/rdkafka/driver.hpp` is a
/// ready driver.
///
/// **It never drops a record.** `deliver` returns what it did: *taken*, *busy* or *ignored*. When the indexer's budget
/// is full, the record that did not fit is taken nevertheless: its operations are kept encoded (the stash), and
/// `accepting()` turns false. Then all partitions are paused (after `pause_after`), `deliver` answers *busy*, and
/// `poll()` tries the stash again; partitions resume when half of what the source had under way is settled. A caller
/// that holds prefetched records keeps them and delivers them again, in order.
///
/// **An offset is stored only when everything delivered up to it is durably settled** (`Delivery::at_least_once`).
/// What becomes of invalid records, tombstones, rejected documents and unknown outcomes is chosen by name: `OnInvalid`,
/// `OnTombstone`, `OnRejected`, `OnUnknown`. An operation that ended as `undelivered` stops the source: the watermark
/// never passes it. So its indexer must have `retry.max_age = unlimited`; and give it operations that may be
/// repeated, that is with an id or with `Duplicates::allow`.
///
/// **A client that goes back reads other records, unless the caller has moved it.** After a topic was deleted and
/// created again, or its log was truncated, the same offsets name other records. So when the client goes back below
/// what was stored, the lower offset is stored once, and committed explicitly where the consumer can (`OffsetSetter`).
/// A caller that seeks by its own will calls `seeking` first: then nothing lower is stored. A client that goes back
/// three times without passing the highest offset it had delivered stops the source (`StopReason::rewinding`).
///
/// Threads: one thread at a time, the consumer's; settlements reach it through an inbox. `wait_for_settlements` and a
/// revoke drain refuse to wait on a thread that is running the indexer. User code (mapper, events) never throws out of
/// it, and may call it within the limits that `KafkaSourceOptions::on_event` names; so may a mapper. The indexer, the
/// consumer and whatever they run on must outlive the source.
///
/// `Clock` is the time of `pause_after` and of a revoke's wait; tests use a manual one.
template <OperationSink Indexer, Consumer C, Mapper M, class Clock = std::chrono::steady_clock>
class KafkaSource {
public:
    /// Throws `InvalidOption`: an option out of range, an indexer that does not refuse when full, an indexer with a
    /// finite `retry.max_age` under `at_least_once`, a policy that wants dead letters of a consumer that writes none,
    /// or `dead_letters` that another source takes.
    KafkaSource(Indexer& indexer, C& consumer, M mapper, KafkaSourceOptions options = {})
        : indexer_{indexer}, ledger_{consumer, checked(std::move(options), indexer, consumer)}, intake_{
                                                                                                    indexer,
                                                                                                    std::move(mapper),
                                                                                                    ledger_} {}
    ~KafkaSource() {
        intake_.close();
        ledger_.close();
    }
    KafkaSource(const KafkaSource&) = delete;
    KafkaSource& operator=(const KafkaSource&) = delete;

    // ---- The client's reports ----

    /// The group gave us this partition. Call it when the client can already pause it: it is paused at once if the
    /// others are. Throws `std::out_of_range` for a partition above 1,048,575, or more than so many partitions in all.
    void assigned(std::string_view topic, std::int32_t partition) {
        auto& p = ledger_.partitions().find_or_add(topic, partition);
        if (p.assigned) intake_.leave(p);
        p.assigned = true;
        p.exact = OffsetSetter<C>;
        p.rewinds.restart();
        ledger_.apply_pauses();
    }
    /// The caller seeks to `offset` in this partition by its own will, and delivers no record of before the seek any
    /// more. Where it goes back, the records are indexed again, and nothing below what was stored before is stored or
    /// committed. Harmless for a partition that is not assigned.
    void seeking(std::string_view topic, std::int32_t partition, std::int64_t offset) noexcept {
        auto* const p = ledger_.partitions().find_assigned(topic, partition);
        if (p == nullptr) return;
        if (!p->tracker.next()) {
            p->exact = false; // the assignment begins where the caller wants
        } else if (p->exact) {
            ledger_.partitions().mark_dirty(*p);
            ledger_.store_offsets(); // where the client stood before
        }
        p->sought = offset;
        p->rewinds.restart();
    }

    /// The group takes these partitions back. Flushes the indexer and waits up to `timeout` for their records to settle
    /// (not at all on a thread that runs the indexer), stores what settled, and forgets the rest: it will be delivered
    /// to the next owner. Commit the stored offsets after this.
    void revoked(std::span<const TopicPartition> partitions, std::chrono::nanoseconds timeout) {
        const auto deadline = Clock::now() + std::min(timeout, longest_wait);
        intake_.drop_stash_of(partitions);
        indexer_.flush();
        for (;;) {
            turn();
            const auto left = deadline - Clock::now();
            if (!waiting(partitions) || left <= std::chrono::nanoseconds::zero() || !wait_for_settlements(left)) break;
        }
        forget(partitions);
    }
    /// The same for all partitions.
    void revoked(std::chrono::nanoseconds timeout) { revoked(ledger_.partitions().assigned(), timeout); }

    /// The partitions are gone already, e.g. because `max.poll.interval.ms` has passed: nothing is stored for them.
    void lost(std::span<const TopicPartition> partitions) {
        intake_.drop_stash_of(partitions);
        forget(partitions);
    }
    /// All partitions are gone without notice: nothing more is stored for them.
    void lost() { lost(ledger_.partitions().assigned()); }

    /// Takes one record, or returns why not. Never waits.
    [[nodiscard]] Delivered deliver(const Record& record) {
        if (ledger_.calling()) return Delivered::busy;
        if (ledger_.inbox()->ready()) turn();
        if (!accepting()) return Delivered::busy;
        auto* const p = ledger_.partitions().find_assigned(record.topic, record.partition);
        if (p == nullptr) {
            ++ledger_.stats().foreign;
            return Delivered::ignored;
        }
        if (p->rewinds.circles(record.offset, record.timestamp_ms)) {
            stop_circling(*p, record.offset);
            return Delivered::busy;
        }
        // A paused client may hand over what it had prefetched; twice the limit is the end of patience.
        if (ledger_.flow().refuses_more(p->tracker.records())) return Delivered::busy;
        const auto delivered = intake_.take(*p, record);
        ledger_.report_events();
        return delivered;
    }

    /// Takes records in order until one is *busy*, and returns how many are done with: taken or ignored. Never waits.
    [[nodiscard]] std::size_t deliver(std::span<const Record> records) {
        std::size_t done = 0;
        while (done < records.size() && deliver(records[done]) != Delivered::busy) ++done;
        return done;
    }

    /// Takes in settlements, tries the stash again, pauses and resumes, and stores offsets. Never waits. At least every
    /// second, and after `on_wake`. Does nothing within a callback: the function that has called it continues by
    /// itself.
    void poll() {
        if (!ledger_.calling() && !turning_) turn();
    }

    // ---- What the caller may ask ----

    /// Whether `deliver` takes records: not while the indexer is full, nor when stopped or draining, nor in a callback.
    [[nodiscard]] bool accepting() const noexcept {
        return !intake_.is_stashed() && ledger_.flow().is_open() && !ledger_.calling();
    }
    /// The indexer was found full a moment ago, and the partitions are not paused yet: wait for settlements, then
    /// `poll()`, rather than let the client throw its prefetched records away.
    [[nodiscard]] bool about_to_pause() const noexcept { return ledger_.flow().about_to_pause(); }
    /// No more records are taken, for good. What is under way still settles.
    [[nodiscard]] bool stopped() const noexcept { return ledger_.flow().stopped(); }
    /// Why it takes no more records for good; `none` while it does.
    [[nodiscard]] StopReason stop_reason() const noexcept { return ledger_.flow().stop_reason(); }

    /// Waits until `poll()` has settlements to take in, at most so long. False when there are none, or when this thread
    /// is running the indexer, which must not be blocked.
    bool wait_for_settlements(std::chrono::nanoseconds timeout) {
        if (ledger_.inbox()->ready()) return true;
        if (indexer_.running_in_this_thread()) return false;
        return ledger_.inbox()->wait(std::min(timeout, longest_wait));
    }

    /// Takes no more records, pauses all partitions and flushes the indexer. Go on calling `poll()` until `drained()`.
    void drain() {
        ledger_.flow().drain();
        ledger_.apply_pauses();
        indexer_.flush();
    }
    /// Nothing that the source handed over, to the indexer or to the dead-letter topic, waits for its settlement, and
    /// nothing is stashed.
    [[nodiscard]] bool drained() const noexcept { return !intake_.is_stashed() && ledger_.is_drained(); }

    /// The consumer is about to end: no more dead letters are taken from the indexer's sink, which fails from here on.
    void close_letters() noexcept { ledger_.letters().close(); }

    /// On the source's thread.
    [[nodiscard]] SourceStats stats() const {
        auto stats = ledger_.stats();
        stats.stashed = intake_.is_stashed() ? 1 : 0;
        stats.tracked -= stats.stashed;
        ledger_.partitions().for_each_assigned([&stats](const detail::Partition& p) {
            ++stats.assigned_partitions;
            if (p.paused) ++stats.paused_partitions;
        });
        return stats;
    }
    /// The assigned partitions, in the order in which they were first seen. On the source's thread.
    [[nodiscard]] std::vector<PartitionState> partitions() const {
        std::vector<PartitionState> states;
        ledger_.partitions().for_each_assigned([&](const detail::Partition& p) {
            states.push_back({std::string{p.topic}, p.number, p.tracker.next(), p.stored,
                              static_cast<std::uint64_t>(p.tracker.span()), p.paused,
                              ledger_.why_paused(p, intake_.is_stashed()), p.tracker.watermark()});
        });
        return states;
    }
    /// The options that it was made with.
    [[nodiscard]] const KafkaSourceOptions& options() const noexcept { return ledger_.options(); }

private:
    static constexpr std::chrono::nanoseconds longest_wait = std::chrono::hours{24}; // so that no sum overflows

    static KafkaSourceOptions checked(KafkaSourceOptions options, Indexer& indexer, const C& consumer) {
        if (auto wrong = detail::validate(options, indexer.options(), detail::writes_letters(consumer)))
            throw InvalidOption{std::move(*wrong)};
        return options;
    }

    /// What `poll` does. What was given up by name is reported before its offset is stored.
    void turn() {
        const detail::Flag turning{turning_};
        if (ledger_.inbox()->ready()) {
            ledger_.take_settlements();
            ledger_.take_receipts([this](const Ticket& ticket) { return intake_.is_ours(ticket); });
        }
        intake_.retry_stash();
        ledger_.update_pauses(intake_.is_stashed());
        ledger_.report_events();
        ledger_.store_offsets();
        ledger_.report_events();
        ledger_.repeat_pauses();
    }

    [[nodiscard]] bool waiting(std::span<const TopicPartition> partitions) noexcept {
        return std::any_of(partitions.begin(), partitions.end(), [this](const TopicPartition& name) {
            const auto* const p = ledger_.partitions().find_assigned(name.topic, name.partition);
            return p != nullptr && p->tracker.waiting() > 0;
        });
    }
    void forget(std::span<const TopicPartition> partitions) {
        for (const auto& name : partitions)
            if (auto* const p = ledger_.partitions().find_assigned(name.topic, name.partition)) intake_.leave(*p);
        turn();
    }
    void stop_circling(const detail::Partition& p, std::int64_t offset) {
        ledger_.report({.kind = SourceEvent::Kind::rewound,
                        .offset = offset,
                        .reason = "for the third time without passing the highest offset that it had delivered"},
                       p);
        ledger_.stop(StopReason::rewinding);
        ledger_.report_events();
    }

    Indexer& indexer_;
    detail::SourceLedger<C, Clock> ledger_;
    detail::RecordIntake<Indexer, C, M, Clock> intake_;
    bool turning_ = false; ///< `turn` is running
};

} // namespace bulkhead::inline v1
