// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/kafka/dead_letter.hpp>
#include <bulkhead/kafka/detail/record_cache.hpp>
#include <bulkhead/kafka/detail/revoked_offsets.hpp>
#include <bulkhead/kafka/detail/rewinds.hpp>
#include <bulkhead/kafka/detail/settlement_inbox.hpp>
#include <bulkhead/kafka/detail/waiting_events.hpp>
#include <bulkhead/kafka/offset_tracker.hpp>
#include <bulkhead/kafka/record.hpp>
#include <bulkhead/kafka/source_options.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bulkhead::inline v1 {

/// Feeds a `BulkIndexer` from any Kafka consumer, without ever waiting and without losing a record.
///
///     deliver(record) → mapper → try_enqueue → … → settlement → inbox → OffsetTracker → Consumer::store_offset
///
/// The caller tells it what the client tells: `assigned`, `revoked`, `lost`, each record by `deliver`; and calls
/// `poll()` at least every second, messages or not. No Kafka client is known here; `kafka/rdkafka/driver.hpp` is a
/// ready driver.
///
/// **It never drops a record.** `deliver` says what it did: *taken*, *busy* or *ignored*. When the indexer's budget is
/// full, the record that did not fit is taken nevertheless: its operations are kept encoded (the stash), and
/// `accepting()` turns false. Then all partitions are paused (after `pause_after`), `deliver` answers *busy*, and
/// `poll()` tries the stash again; partitions resume when half of what the source had under way is settled. A caller
/// that holds prefetched records keeps them and delivers them again, in order.
///
/// **An offset is stored only when everything delivered up to it is durably settled** (`Delivery::at_least_once`).
/// What becomes of invalid records, tombstones, rejected documents and unknown outcomes is said by name: `OnInvalid`,
/// `OnTombstone`, `OnRejected`, `OnUnknown`. An operation that ended as `undelivered` stops the source: the watermark
/// never passes it. So its indexer must have `retry.max_age = unlimited`; and give it operations that may be
/// repeated, that is with an id or with `Duplicates::allow`.
///
/// **A client that goes back reads other records, unless the caller says otherwise.** After a topic was deleted and
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
template <class Indexer, Consumer C, Mapper M, class Clock = std::chrono::steady_clock>
class KafkaSource {
public:
    /// Throws `InvalidOption`: an option out of range, an indexer that does not refuse when full, an indexer with a
    /// finite `retry.max_age` under `at_least_once`, a policy that wants dead letters of a consumer that writes none,
    /// or `dead_letters` that another source takes.
    KafkaSource(Indexer& indexer, C& consumer, M mapper, KafkaSourceOptions options = {})
        : indexer_{indexer}, consumer_{consumer}, mapper_{std::move(mapper)}, options_{checked(std::move(options),
                                                                                               indexer, consumer)},
          inbox_{std::make_shared<detail::SettlementInbox>(std::move(options_.on_wake), bool{options_.on_event},
                                                           options_.on_unknown == OnUnknown::dead_letter)},
          letters_{std::make_shared<detail::LetterInbox>(inbox_)},
          subscription_{indexer.subscribe(indexer.get_executor(), detail::InboxObserver{inbox_})} {
        scratch_.default_index(indexer.options().index);
        if (options_.dead_letters && !options_.dead_letters->connect(letters_))
            throw InvalidOption{{"dead_letters", "those of no other source", "those of another source"}};
    }
    ~KafkaSource() {
        subscription_.reset();
        letters_->close();
        inbox_->stop_waking();
    }
    KafkaSource(const KafkaSource&) = delete;
    KafkaSource& operator=(const KafkaSource&) = delete;

    // ---- What the client tells ----

    /// The group gave us this partition. Call it when the client can already pause it: it is paused at once if the
    /// others are. Throws `std::out_of_range` for a partition above 1,048,575, or more than so many partitions in all.
    void assigned(std::string_view topic, std::int32_t partition) {
        auto& p = find_or_add(topic, partition);
        if (p.assigned) leave(p);
        p.assigned = true;
        p.exact = OffsetSetter<C>;
        p.rewinds.restart();
        ++assigned_;
        apply_pauses();
    }
    /// The caller seeks to `offset` in this partition by its own will, and delivers no record of before the seek any
    /// more. Where it goes back, the records are indexed again, and nothing below what was stored before is stored or
    /// committed. Harmless for a partition that is not assigned.
    void seeking(std::string_view topic, std::int32_t partition, std::int64_t offset) noexcept {
        auto* const p = find(topic, partition);
        if (p == nullptr || !p->assigned) return;
        if (!p->tracker.next()) {
            p->exact = false; // the assignment begins where the caller wants
        } else if (p->exact) {
            mark_dirty(*p);
            store_offsets(); // where the client stood before
        }
        p->sought = offset;
        p->rewinds.restart();
    }

    /// The group takes these partitions back. Flushes the indexer and waits up to `timeout` for their records to settle
    /// (not at all on a thread that runs the indexer), stores what settled, and forgets the rest: it will be delivered
    /// to the next owner. Commit the stored offsets after this.
    void revoked(std::span<const TopicPartition> partitions, std::chrono::nanoseconds timeout) {
        const auto deadline = Clock::now() + std::min(timeout, longest_wait);
        drop_stash_of(partitions);
        indexer_.flush();
        for (;;) {
            turn();
            const auto left = deadline - Clock::now();
            if (!waiting(partitions) || left <= std::chrono::nanoseconds::zero() || !wait_for_settlements(left)) break;
        }
        forget(partitions);
    }
    /// The same for all partitions.
    void revoked(std::chrono::nanoseconds timeout) { revoked(assigned_now(), timeout); }

    /// The partitions are gone already, e.g. because `max.poll.interval.ms` has passed: nothing is stored for them.
    void lost(std::span<const TopicPartition> partitions) {
        drop_stash_of(partitions);
        forget(partitions);
    }
    /// All partitions are gone without notice: nothing more is stored for them.
    void lost() { lost(assigned_now()); }

    /// Takes one record, or says why not. Never waits.
    [[nodiscard]] Delivered deliver(const Record& record) {
        if (calling_) return Delivered::busy;
        if (inbox_->ready()) turn();
        if (!accepting()) return Delivered::busy;
        auto* const p = find(record.topic, record.partition);
        if (p == nullptr || !p->assigned) {
            ++stats_.foreign;
            return Delivered::ignored;
        }
        if (p->rewinds.circles(record.offset, record.timestamp_ms)) {
            stop_circling(*p, record.offset);
            return Delivered::busy;
        }
        // A paused client may hand over what it had prefetched; twice the limit is the end of patience.
        if (p->tracker.records() >= 2 * options_.max_span_per_partition) return Delivered::busy;
        const auto delivered = take(*p, record);
        tell_events();
        return delivered;
    }

    /// Takes records in order until one is *busy*, and says how many are done with: taken or ignored. Never waits.
    [[nodiscard]] std::size_t deliver(std::span<const Record> records) {
        std::size_t done = 0;
        while (done < records.size() && deliver(records[done]) != Delivered::busy) ++done;
        return done;
    }

    /// Takes in settlements, tries the stash again, pauses and resumes, and stores offsets. Never waits. At least every
    /// second, and after `on_wake`. Does nothing within a callback: what has called that goes on by itself.
    void poll() {
        if (!calling_ && !turning_) turn();
    }

    // ---- What the caller may ask ----

    /// Whether `deliver` takes records: not while the indexer is full, nor when stopped or draining, nor in a callback.
    [[nodiscard]] bool accepting() const noexcept {
        return !stash_ && !holding_ && !draining_ && !calling_ && stop_reason_ == StopReason::none;
    }
    /// The indexer was found full a moment ago, and the partitions are not paused yet: wait for settlements, then
    /// `poll()`, rather than let the client throw its prefetched records away.
    [[nodiscard]] bool about_to_pause() const noexcept { return holding_ && !paused_for_full_; }
    /// No more records are taken, for good. What is under way still settles.
    [[nodiscard]] bool stopped() const noexcept { return stop_reason_ != StopReason::none; }
    /// Why it takes no more records for good; `none` while it does.
    [[nodiscard]] StopReason stop_reason() const noexcept { return stop_reason_; }

    /// Waits until `poll()` has settlements to take in, at most so long. False when there are none, or when this thread
    /// is running the indexer, which must not be blocked.
    bool wait_for_settlements(std::chrono::nanoseconds timeout) {
        if (inbox_->ready()) return true;
        if (indexer_.running_in_this_thread()) return false;
        return inbox_->wait(std::min(timeout, longest_wait));
    }

    /// Takes no more records, pauses all partitions and flushes the indexer. Go on calling `poll()` until `drained()`.
    void drain() {
        draining_ = true;
        apply_pauses();
        indexer_.flush();
    }
    /// Nothing that the source handed over, to the indexer or to the dead-letter topic, waits for its settlement, and
    /// nothing is stashed.
    [[nodiscard]] bool drained() const noexcept {
        return !stash_ && tracked_ == 0 && (at_least_once() || (outstanding_ == 0 && letter_bytes_ == 0));
    }

    /// The consumer is about to end: no more dead letters are taken from the indexer's sink, which fails from here on.
    void close_letters() noexcept { letters_->close(); }

    /// On the source's thread.
    [[nodiscard]] SourceStats stats() const {
        auto stats = stats_;
        stats.stashed = stash_ ? 1 : 0;
        stats.tracked = tracked_ - stats.stashed;
        stats.assigned_partitions = assigned_;
        stats.paused_partitions = static_cast<std::uint64_t>(std::count_if(
            partitions_.begin(), partitions_.end(), [](const auto& p) { return p->assigned && p->paused; }));
        return stats;
    }
    /// The assigned partitions, in the order in which they were first seen. On the source's thread.
    [[nodiscard]] std::vector<PartitionState> partitions() const {
        std::vector<PartitionState> states;
        for (const auto& p : partitions_) {
            if (!p->assigned) continue;
            states.push_back({topics_[p->topic].name, p->number, p->tracker.next(), p->stored,
                              static_cast<std::uint64_t>(p->tracker.span()), p->paused, why_paused(*p),
                              p->tracker.watermark()});
        }
        return states;
    }
    /// The options that it was made with.
    [[nodiscard]] const KafkaSourceOptions& options() const noexcept { return options_; }

private:
    using Sequence = OffsetTracker::Sequence;

    /// One partition. It keeps its slot, and its sequence numbers go on, when it is revoked and assigned again: so the
    /// slot and the sequence number name one delivery for ever, and a late settlement finds nothing.
    struct Partition {
        std::size_t topic = 0;
        std::int32_t number = 0;
        std::uint64_t slot = 0;
        OffsetTracker tracker{};
        detail::Rewinds rewinds{};
        std::optional<std::int64_t> stored{};
        std::int64_t floor = 0; ///< offsets up to here are not worth storing, or must not be
        bool assigned = false;
        bool exact = false; ///< the next offset stored is the group's, though the group's may be higher
        std::optional<std::int64_t> sought{}; ///< where the caller has moved the client, until a record comes
        bool dirty = false;                   ///< listed in `dirty_`
        bool span_exceeded = false;           ///< to be paused until the span is half of the limit
        bool paused = false;                  ///< what the client was told last, and keeps when the partition goes
        bool told = false;                    ///< in this assignment
    };
    struct Topic {
        std::string name;
        std::vector<Partition*> partitions; ///< by number; null when never assigned
    };
    /// A record that is tracked.
    struct Tracked {
        Partition* partition = nullptr;
        Sequence sequence = 0;
        std::int64_t offset = 0;
    };

    static constexpr std::chrono::nanoseconds longest_wait = std::chrono::hours{24}; // so that no sum overflows

    // A ticket's key: the partition's slot above, the sequence number (best effort: the offset) below.
    static constexpr int sequence_bits = 44;
    static constexpr std::uint64_t most_partitions = std::uint64_t{1} << (64 - sequence_bits);
    static constexpr std::uint64_t sequence_mask = (std::uint64_t{1} << sequence_bits) - 1;
    [[nodiscard]] std::uint64_t key_of(const Tracked& tracked) const noexcept {
        const auto below = at_least_once() ? tracked.sequence : static_cast<std::uint64_t>(tracked.offset);
        return (tracked.partition->slot << sequence_bits) | (below & sequence_mask);
    }

    static KafkaSourceOptions checked(KafkaSourceOptions options, const Indexer& indexer, const C& consumer) {
        if (auto wrong = validate(options)) throw InvalidOption{std::move(*wrong)};
        const auto needs_letters = [&](std::string_view option, bool asked) {
            if (asked && !writes_letters(consumer))
                throw InvalidOption{{std::string{option}, "another policy, or a consumer with a dead-letter topic",
                                     "dead_letter, and the consumer writes no dead letters"}};
        };
        needs_letters("on_invalid", options.on_invalid == OnInvalid::dead_letter);
        needs_letters("on_tombstone", options.on_tombstone == OnTombstone::dead_letter);
        needs_letters("on_unknown", options.on_unknown == OnUnknown::dead_letter);
        if (indexer.options().overflow != Overflow::refuse)
            throw InvalidOption{{"overflow", "refuse, as the indexer of a KafkaSource must", "drop_oldest"}};
        // The first outage that is longer would stop the source.
        if (const auto age = indexer.options().retry.max_age;
            options.delivery == Delivery::at_least_once && age != unlimited)
            throw InvalidOption{{"retry.max_age", "unlimited for the indexer of a KafkaSource that is at_least_once",
                                 std::to_string(age.count()) + " ms"}};
        return options;
    }
    [[nodiscard]] static bool writes_letters(const C& consumer) noexcept {
        if constexpr (LetterWriter<C>) {
            return consumer.writes_letters();
        } else {
            return false;
        }
    }
    [[nodiscard]] bool at_least_once() const noexcept { return options_.delivery == Delivery::at_least_once; }

    // ---- Partitions ----

    [[nodiscard]] Partition* find(std::string_view topic, std::int32_t partition) noexcept {
        if (last_topic_ >= topics_.size() || topics_[last_topic_].name != topic) {
            last_topic_ = 0;
            while (last_topic_ < topics_.size() && topics_[last_topic_].name != topic) ++last_topic_;
            if (last_topic_ == topics_.size()) return nullptr;
        }
        const auto& known = topics_[last_topic_].partitions;
        const auto number = static_cast<std::size_t>(partition);
        return partition >= 0 && number < known.size() ? known[number] : nullptr;
    }
    [[nodiscard]] Partition& find_or_add(std::string_view topic, std::int32_t partition) {
        if (auto* const known = find(topic, partition)) return *known;
        if (partition < 0 || static_cast<std::uint64_t>(partition) >= most_partitions ||
            partitions_.size() >= most_partitions)
            throw std::out_of_range{"KafkaSource: partition " + std::to_string(partition) + " of 1048576"};
        if (last_topic_ >= topics_.size()) {
            topics_.push_back({std::string{topic}, {}});
            last_topic_ = topics_.size() - 1;
        }
        auto& numbers = topics_[last_topic_].partitions;
        const auto number = static_cast<std::size_t>(partition);
        if (numbers.size() <= number) numbers.resize(number + 1, nullptr);
        auto added = std::make_unique<Partition>();
        added->topic = last_topic_;
        added->number = partition;
        added->slot = partitions_.size();
        partitions_.push_back(std::move(added));
        dirty_.reserve(partitions_.size());
        return *(numbers[number] = partitions_.back().get());
    }
    [[nodiscard]] std::vector<TopicPartition> assigned_now() const {
        std::vector<TopicPartition> all;
        for (const auto& p : partitions_)
            if (p->assigned) all.push_back({topics_[p->topic].name, p->number});
        return all;
    }
    [[nodiscard]] bool waiting(std::span<const TopicPartition> partitions) noexcept {
        return std::any_of(partitions.begin(), partitions.end(), [this](const TopicPartition& name) {
            const auto* const p = find(name.topic, name.partition);
            return p != nullptr && p->assigned && p->tracker.waiting() > 0;
        });
    }
    void drop_stash_of(std::span<const TopicPartition> partitions) noexcept {
        if (!stash_) return;
        for (const auto& name : partitions) {
            if (find(name.topic, name.partition) != stash_->partition) continue;
            drop_stash();
            return;
        }
    }
    /// It was never handed over, so no settlement will come that anything could wait for.
    void drop_stash() noexcept {
        end(*stash_->partition, stash_->sequence, stash_->partition->tracker.fail_record(stash_->sequence));
        stash_.reset();
    }
    void forget(std::span<const TopicPartition> partitions) {
        for (const auto& name : partitions) {
            auto* const p = find(name.topic, name.partition);
            if (p != nullptr && p->assigned) leave(*p);
        }
        turn();
    }
    void leave(Partition& p) noexcept {
        if (stash_ && stash_->partition == &p) drop_stash();
        forget_unsettled(p, std::numeric_limits<std::int64_t>::min(), [](OffsetTracker& t) { t.restart(); });
        p.assigned = p.span_exceeded = p.told = p.exact = false;
        p.sought.reset();
        p.stored.reset();
        --assigned_;
    }
    /// Does something to a tracker that may drop records at and above `from`, and counts these.
    template <class F>
    void forget_unsettled(Partition& p, std::int64_t from, F change) {
        if (options_.dead_letters) late_.remember(p.slot, p.tracker, from);
        const auto waiting = p.tracker.waiting();
        const auto failed = p.tracker.failed();
        change(p.tracker);
        tracked_ -= waiting - p.tracker.waiting();
        stats_.failed -= failed - p.tracker.failed();
        stats_.abandoned += waiting - p.tracker.waiting() + failed - p.tracker.failed();
        if (kept_.bytes() != 0) kept_.drop_if(p.slot, [&p](std::uint64_t number) { return !p.tracker.awaits(number); });
    }

    // ---- deliver → mapper → enqueue ----

    Delivered take(Partition& p, const Record& record) {
        auto mapped = Mapped::skip;
        const bool asked =
            record.payload || (TombstoneMapper<M> && options_.on_tombstone == OnTombstone::delete_document);
        why_.clear();
        try {
            scratch_.clear();
            if (asked) mapped = map(record);
            p.tracker.reserve_one();
        } catch (const std::bad_alloc&) {
            return Delivered::busy;
        } catch (const std::exception& e) {
            mapped = Mapped::invalid;
            note_why(e.what());
        } catch (...) {
            mapped = Mapped::invalid;
            note_why("the mapper threw something that is not an exception");
        }
        if (!p.assigned) return Delivered::ignored; // the mapper gave it back
        if (const auto* const wrong = scratch_.last_error(); wrong != nullptr && why_.empty()) {
            // A mapper that does not look at what `append` returns must not lose the record.
            if (mapped == Mapped::operations && scratch_.empty()) mapped = Mapped::invalid;
            if (mapped == Mapped::invalid) note_why(*wrong);
        }
        ++stats_.consumed;
        const auto next = p.tracker.next();
        if (!next) p.floor = record.offset;
        if (next && record.offset < *next) go_back(p, record.offset);
        p.rewinds.taken(record.offset, record.timestamp_ms);
        p.sought.reset();
        mark_dirty(p);
        if (mapped == Mapped::operations && !scratch_.empty()) {
            enqueue(p, record);
            return Delivered::taken;
        }
        const Tracked tracked{&p, p.tracker.delivered(record.offset, 1), record.offset};
        ++tracked_;
        if (mapped == Mapped::invalid) {
            invalid(tracked, &record, why_);
        } else if (asked) {
            ++stats_.skipped;
            dispose(tracked, &record, Disposal::pass, {});
        } else {
            ++stats_.without_payload;
            tell({.kind = SourceEvent::Kind::without_payload, .offset = record.offset}, p);
            const bool letter = options_.on_tombstone == OnTombstone::dead_letter;
            ++stats_.skipped;
            dispose(tracked, &record, letter ? Disposal::letter : Disposal::pass, "tombstone");
        }
        limit_span(p);
        return Delivered::taken;
    }
    /// The client has gone back. The offsets name other records than before, unless the caller has moved it.
    void go_back(Partition& p, std::int64_t offset) {
        ++stats_.rewinds;
        forget_unsettled(p, offset, [offset](OffsetTracker& tracker) { tracker.rewind(offset); });
        const auto watermark = *p.tracker.watermark();
        if ((p.sought && offset >= *p.sought) || watermark >= p.floor) return;
        p.exact = true;
        p.floor = watermark;
        tell({.kind = SourceEvent::Kind::rewound,
              .offset = offset,
              .reason = "below the last stored offset: the topic was created again, its log was truncated, or the "
                        "committed offset was out of range"},
             p);
    }
    void stop_circling(Partition& p, std::int64_t offset) {
        tell({.kind = SourceEvent::Kind::rewound,
              .offset = offset,
              .reason = "for the third time without passing the highest offset that it had delivered"},
             p);
        stop(StopReason::rewinding);
        tell_events();
    }
    Mapped map(const Record& record) {
        const Flag calling{calling_};
        if constexpr (TombstoneMapper<M>)
            if (!record.payload) return mapper_.tombstone(record, scratch_);
        return mapper_(record, scratch_);
    }
    void note_why(const char* what) noexcept {
        try {
            why_ = detail::printable(what, 1024);
        } catch (const std::exception&) { // the record is invalid all the same
        }
    }
    void note_why(const FieldError& wrong) noexcept {
        try {
            note_why(wrong.message().c_str());
        } catch (const std::exception&) { // likewise
        }
    }

    void enqueue(Partition& p, const Record& record) {
        const auto operations = at_least_once() ? static_cast<std::uint32_t>(scratch_.operations()) : 1;
        const Tracked tracked{&p, p.tracker.delivered(record.offset, operations), record.offset};
        ++tracked_;
        limit_span(p);
        if (options_.keep_records) keep(tracked, record);
        if (!hand_over(tracked, &record)) {
            stash_ = tracked;
            ++stats_.full;
            hold(PauseReason::budget);
        }
    }
    /// False: the indexer is full, and the record is as before. `record` is null for the stash.
    bool hand_over(const Tracked& tracked, const Record* record) {
        auto& p = *tracked.partition;
        switch (indexer_.try_enqueue(std::as_const(scratch_), subscription_.ticket(key_of(tracked)))) {
        case Admission::full: return false;
        case Admission::closed: dispose(tracked, record, Disposal::stop, {}, StopReason::closed); return true;
        case Admission::accepted:
            ++stats_.enqueued;
            stats_.operations += scratch_.operations();
            outstanding_ += scratch_.operations();
            if (!at_least_once()) end(p, tracked.sequence, p.tracker.settle_record(tracked.sequence));
            return true;
        case Admission::invalid: invalid(tracked, record, to_string(errc::invalid_operation)); return true;
        case Admission::too_large: break;
        }
        ++stats_.too_large;
        tell({.kind = SourceEvent::Kind::too_large, .offset = tracked.offset, .type = to_string(errc::too_large)}, p);
        auto how = !at_least_once() || options_.on_rejected == OnRejected::skip ? Disposal::pass : Disposal::stop;
        if (options_.on_rejected == OnRejected::dead_letter && writes_letters(consumer_)) how = Disposal::letter;
        dispose(tracked, record, how, to_string(errc::too_large), StopReason::too_large);
        return true;
    }
    void invalid(const Tracked& tracked, const Record* record, std::string_view why) {
        ++stats_.invalid;
        tell({.kind = SourceEvent::Kind::invalid, .offset = tracked.offset, .reason = why}, *tracked.partition);
        constexpr Disposal disposals[] = {Disposal::pass, Disposal::letter, Disposal::stop};
        dispose(tracked, record, disposals[static_cast<std::size_t>(options_.on_invalid)], "invalid",
                StopReason::invalid, why);
    }

    /// What happens to a record that does not go through the indexer.
    enum class Disposal : std::uint8_t { pass, letter, stop };
    void dispose(const Tracked& tracked, const Record* record, Disposal how, std::string_view type,
                 StopReason reason = StopReason::none, std::string_view why = {}) {
        auto& p = *tracked.partition;
        switch (how) {
        case Disposal::pass: end(p, tracked.sequence, p.tracker.settle_record(tracked.sequence)); return;
        case Disposal::stop: end(p, tracked.sequence, p.tracker.fail_record(tracked.sequence)); return stop(reason);
        case Disposal::letter: break;
        }
        KafkaLetter letter;
        letter.type = type;
        letter.reason = why;
        letter.record = record;
        if (record == nullptr) letter.source = scratch_.body(); // the stash: the record itself is gone
        send_letter(tracked, letter, true);
        if (!at_least_once()) end(p, tracked.sequence, p.tracker.settle_record(tracked.sequence));
    }

    // ---- dead letters → consumer → receipt ----

    /// Sends a letter of ours; its receipt settles one operation, or all of the record's.
    void send_letter(const Tracked& tracked, KafkaLetter letter, bool whole_record) {
        auto bytes = letter.action_line.size() + letter.source.size() + letter.reason.size() + 64;
        if (letter.record != nullptr)
            bytes += letter.record->key.value_or("").size() + letter.record->payload.value_or("").size();
        letter_bytes_ += bytes;
        place(letter, *tracked.partition, tracked.offset);
        if constexpr (LetterWriter<C>)
            consumer_.write_letter(letter, LetterReceipt{letters_, {key_of(tracked), bytes, whole_record}});
        if (letter_bytes_ >= options_.max_letter_bytes && !holding_) hold(PauseReason::dead_letters);
    }
    void place(KafkaLetter& letter, const Partition& p, std::int64_t offset) const noexcept {
        letter.topic = name(p);
        letter.partition = p.number;
        letter.offset = offset;
    }
    /// By the ticket of an operation. False when it is none of ours.
    bool place(KafkaLetter& letter, const Ticket& ticket) noexcept {
        if (subscription_.ticket(ticket.key) != ticket) return false;
        const auto& p = *partitions_[ticket.key >> sequence_bits];
        const auto below = ticket.key & sequence_mask;
        auto offset = at_least_once() ? p.tracker.offset_of(below) : static_cast<std::int64_t>(below);
        if (!offset) offset = late_.offset_of(p.slot, below);
        place(letter, p, offset.value_or(-1));
        return true;
    }
    void place_all(detail::PlacedLetters& letters) noexcept {
        try {
            for (auto& letter : letters.letters()) {
                KafkaLetter from;
                if (place(from, letter.ticket)) letters.place(letter, from);
            }
        } catch (const std::bad_alloc&) { // then they go without
        }
    }
    void take_letters() {
        const auto mail = letters_->take();
        for (const auto& [stub, error] : mail.receipts) {
            letter_bytes_ -= stub.bytes;
            ++(error ? stats_.letters_failed : stats_.dead_letters);
            auto& p = *partitions_[stub.key >> sequence_bits];
            const auto below = stub.key & sequence_mask;
            if (error) {
                const auto offset =
                    at_least_once() ? p.tracker.offset_of(below).value_or(-1) : static_cast<std::int64_t>(below);
                tell({.kind = SourceEvent::Kind::letter_failed, .offset = offset, .reason = describe(error)}, p);
            }
            if (!at_least_once()) continue;
            if (!error) {
                end(p, below, stub.whole_record ? p.tracker.settle_record(below) : p.tracker.settle(below),
                    stub.whole_record);
            } else if (end(p, below, p.tracker.fail_record(below), true) != OffsetTracker::Step::late) {
                stop(StopReason::dead_letter);
            }
        }
        for (const auto& write : mail.writes) write_all(write);
        for (const auto& question : mail.questions) place_all(question->letters());
    }
    /// The indexer's dead letters, with the positions of those that are ours.
    void write_all(const std::shared_ptr<detail::SinkWrite>& write) {
        if (!writes_letters(consumer_)) return write->abandon(errc::letters_not_taken);
        for (const auto& from : write->letters()) {
            KafkaLetter letter;
            letter.type = from.type;
            letter.reason = from.reason;
            letter.status = from.status;
            letter.attempts = from.attempts;
            letter.action_line = from.action_line;
            letter.source = from.source;
            const bool ours = place(letter, from.ticket);
            const auto slot = ours ? from.ticket.key >> sequence_bits : most_partitions; // no partition's
            kept_.with(slot, from.ticket.key & sequence_mask, [&](const Record* record) {
                letter.record = record;
                if constexpr (LetterWriter<C>) consumer_.write_letter(letter, LetterReceipt{write, {}});
            });
        }
    }
    void keep(const Tracked& tracked, const Record& record) {
        try {
            kept_.keep(tracked.partition->slot, tracked.sequence, record);
        } catch (const std::bad_alloc&) { // then its dead letter is the operation alone
        }
        if (kept_.bytes() >= options_.max_kept_bytes && !holding_) hold(PauseReason::kept_records);
    }

    // ---- settle → tracker → store ----

    /// What `poll` does. What was given up by name is told before its offset is stored.
    void turn() {
        const Flag turning{turning_};
        if (inbox_->ready()) {
            take_settlements();
            take_letters();
        }
        try_stash();
        update_hold();
        tell_events();
        store_offsets();
        tell_events();
        if (pauses_stale_) apply_pauses();
    }

    void take_settlements() {
        inbox_->take(mail_);
        if (mail_.incomplete) stop(StopReason::out_of_memory);
        for (const auto& note : mail_.notes) {
            --outstanding_;
            ++stats_.outcomes[static_cast<std::size_t>(note.outcome)];
            auto& p = *partitions_[note.key >> sequence_bits];
            const auto below = note.key & sequence_mask;
            if (!at_least_once()) {
                if (!durable(note.outcome)) tell_failure(note, p, static_cast<std::int64_t>(below));
                continue;
            }
            if (durable(note.outcome)) {
                end(p, below, p.tracker.settle(below));
                if (note.outcome == Outcome::dead_lettered && options_.on_rejected == OnRejected::stop)
                    stop(StopReason::rejected);
                continue;
            }
            const auto offset = p.tracker.offset_of(below);
            tell_failure(note, p, offset.value_or(-1));
            const bool rejected = note.outcome == Outcome::rejected && !note.closing;
            const bool unknown = note.outcome == Outcome::unknown && !note.closing;
            if ((rejected && options_.on_rejected == OnRejected::skip) ||
                (unknown && options_.on_unknown == OnUnknown::skip)) {
                end(p, below, p.tracker.settle(below));
            } else if (unknown && note.failure != 0 && options_.on_unknown == OnUnknown::dead_letter &&
                       p.tracker.awaits(below)) {
                send_unknown({&p, below, *offset}, note);
            } else if (end(p, below, p.tracker.fail(below)) != OffsetTracker::Step::late) {
                stop(reason_of(note));
            }
        }
    }
    void send_unknown(const Tracked& tracked, const detail::SettlementInbox::Note& note) {
        const auto& failure = mail_.failures[note.failure - 1];
        KafkaLetter letter;
        letter.type = "unknown_outcome";
        letter.reason = failure.reason;
        letter.status = note.status;
        letter.attempts = note.attempts;
        letter.action_line = failure.action_line;
        letter.source = failure.source;
        kept_.with(tracked.partition->slot, tracked.sequence, [&](const Record* record) {
            letter.record = record;
            send_letter(tracked, letter, false);
        });
    }
    [[nodiscard]] static StopReason reason_of(const detail::SettlementInbox::Note& note) noexcept {
        if (note.closing) return StopReason::closed;
        if (note.outcome == Outcome::rejected) return StopReason::rejected;
        return note.outcome == Outcome::unknown ? StopReason::unknown : StopReason::undelivered;
    }
    /// Counts what the end of an operation, or of all of a record's, has done.
    OffsetTracker::Step end(Partition& p, Sequence sequence, OffsetTracker::Step step,
                            bool whole_record = false) noexcept {
        using Step = OffsetTracker::Step;
        if (step == Step::late) {
            ++stats_.late;
            if (!late_.empty()) late_.settled(p.slot, sequence, whole_record);
        }
        if (step == Step::late || step == Step::partly) return step;
        if (kept_.bytes() != 0) kept_.drop(p.slot, sequence);
        --tracked_;
        ++(step == Step::settled ? stats_.settled : stats_.failed);
        mark_dirty(p);
        return step;
    }
    void mark_dirty(Partition& p) noexcept {
        if (std::exchange(p.dirty, true)) return;
        dirty_.push_back(&p); // has room for all partitions
    }
    void store_offsets() noexcept {
        std::size_t kept = 0;
        for (std::size_t i = 0; i < dirty_.size(); ++i) {
            auto& p = *dirty_[i];
            p.dirty = false;
            if (!p.assigned) continue;
            if (p.span_exceeded && span(p) <= options_.max_span_per_partition / 2) {
                p.span_exceeded = false;
                apply_pause(p);
            }
            const auto watermark = p.tracker.watermark();
            if (!watermark || *watermark < p.floor || (*watermark == p.floor && !p.exact)) continue;
            if (const error_code error = store_offset(p, *watermark)) {
                ++stats_.store_errors;
                tell({.kind = SourceEvent::Kind::store_failed, .offset = *watermark, .reason = describe(error)}, p);
                p.dirty = true;
                dirty_[kept++] = &p;
                continue;
            }
            ++(p.exact && OffsetSetter<C> ? stats_.offsets_set : stats_.offsets_stored);
            p.stored = watermark;
            p.floor = *watermark;
            p.exact = false;
        }
        dirty_.resize(kept);
    }
    [[nodiscard]] error_code store_offset(const Partition& p, std::int64_t next) noexcept {
        if constexpr (OffsetSetter<C>)
            if (p.exact) return consumer_.set_offset(name(p), p.number, next);
        return consumer_.store_offset(name(p), p.number, next);
    }

    // ---- full, and long spans: pause and resume ----

    void hold(PauseReason why) {
        holding_ = true;
        held_for_ = why;
        resume_at_ = outstanding_ / 2 + scratch_.operations();
        paused_for_full_ = options_.pause_after == std::chrono::milliseconds::zero();
        if (!paused_for_full_) held_since_ = Clock::now();
        apply_pauses();
    }
    void try_stash() {
        if (!stash_) return;
        const auto tracked = *stash_;
        if (!hand_over(tracked, nullptr)) return;
        stash_.reset();
        if (draining_) indexer_.flush();
    }
    void update_hold() {
        if (!holding_) return;
        if (stash_ || letter_bytes_ > options_.max_letter_bytes / 2 || kept_.bytes() > options_.max_kept_bytes / 2) {
            if (paused_for_full_ || Clock::now() - held_since_ < options_.pause_after) return;
            paused_for_full_ = true;
        } else {
            if (paused_for_full_ && outstanding_ > resume_at_) return;
            holding_ = paused_for_full_ = false;
        }
        apply_pauses();
    }
    [[nodiscard]] PauseReason why_paused(const Partition& p) const noexcept {
        if (!p.paused) return PauseReason::none;
        if (stopped()) return PauseReason::stopped;
        if (draining_) return PauseReason::draining;
        if (p.span_exceeded) return PauseReason::span;
        if (stash_) return PauseReason::budget;
        if (letter_bytes_ > options_.max_letter_bytes / 2) return PauseReason::dead_letters;
        if (kept_.bytes() > options_.max_kept_bytes / 2) return PauseReason::kept_records;
        return held_for_;
    }
    [[nodiscard]] static std::size_t span(const Partition& p) noexcept {
        return std::max(static_cast<std::size_t>(p.tracker.span()), p.tracker.records());
    }
    void limit_span(Partition& p) noexcept {
        if (p.span_exceeded || span(p) <= options_.max_span_per_partition) return;
        p.span_exceeded = true;
        apply_pause(p);
    }
    void apply_pauses() noexcept {
        pauses_stale_ = false;
        for (const auto& p : partitions_) apply_pause(*p);
    }
    void apply_pause(Partition& p) noexcept {
        if (!p.assigned) return;
        const bool wanted = p.span_exceeded || paused_for_full_ || draining_ || stopped();
        if (wanted == p.paused && (!wanted || p.told)) return; // a client with a new handle has forgotten its pauses
        const error_code error = wanted ? consumer_.pause(name(p), p.number) : consumer_.resume(name(p), p.number);
        if (error) {
            pauses_stale_ = true;
        } else {
            p.paused = wanted;
            p.told = true;
        }
    }
    void stop(StopReason reason) noexcept {
        if (stopped()) return;
        stop_reason_ = reason;
        apply_pauses();
        tell({.kind = SourceEvent::Kind::stopped, .type = to_string(reason)});
    }

    // ---- Telling ----

    [[nodiscard]] static std::string describe(const error_code& error) noexcept {
        try {
            return error.message();
        } catch (const std::exception&) {
            return {};
        }
    }
    [[nodiscard]] std::string_view name(const Partition& p) const noexcept { return topics_[p.topic].name; }
    void tell_failure(const detail::SettlementInbox::Note& note, const Partition& p, std::int64_t offset) noexcept {
        SourceEvent event{
            .kind = SourceEvent::Kind::failed, .offset = offset, .outcome = note.outcome, .status = note.status};
        if (note.failure != 0) {
            const auto& failure = mail_.failures[note.failure - 1];
            event.type = failure.type;
            event.reason = failure.reason;
            event.action_line = failure.action_line;
            event.source = failure.source;
        }
        tell(event, p);
    }
    void tell(SourceEvent event, const Partition& p) noexcept {
        event.topic = name(p);
        event.partition = p.number;
        tell(event);
    }
    void tell(const SourceEvent& event) noexcept {
        if (options_.on_event && !events_.put(event)) ++stats_.event_errors;
    }
    /// Calls the observer with what has happened. Between two steps: it may call the source.
    void tell_events() noexcept {
        const Flag calling{calling_};
        while (!events_.empty()) {
            try {
                events_.next(options_.on_event);
            } catch (...) { // NOLINT: user code must not throw through a Kafka callback
                ++stats_.event_errors;
            }
        }
    }
    /// Set for as long as it lives.
    class Flag {
    public:
        explicit Flag(bool& flag) noexcept : flag_{flag}, before_{std::exchange(flag, true)} {}
        ~Flag() { flag_ = before_; }
        Flag(const Flag&) = delete;
        Flag& operator=(const Flag&) = delete;

    private:
        bool& flag_;
        const bool before_;
    };

    Indexer& indexer_;
    C& consumer_;
    M mapper_;
    KafkaSourceOptions options_;
    std::shared_ptr<detail::SettlementInbox> inbox_;
    std::shared_ptr<detail::LetterInbox> letters_;
    decltype(std::declval<Indexer&>().subscribe(std::declval<Indexer&>().get_executor(),
                                                std::declval<detail::InboxObserver>())) subscription_;

    std::deque<Topic> topics_; ///< a deque: names that were handed out stay where they are
    std::size_t last_topic_ = 0;
    std::vector<std::unique_ptr<Partition>> partitions_; ///< by slot
    std::vector<Partition*> dirty_;                      ///< whose watermark may have moved
    detail::SettlementInbox::Mail mail_;

    Batch scratch_;
    std::string why_;
    std::optional<Tracked> stash_; ///< the record that did not fit; its operations are in `scratch_`
    detail::KeptRecords kept_;
    detail::LatePositions late_;
    std::size_t letter_bytes_ = 0;             ///< of ours, on their way to the dead-letter topic
    bool holding_ = false;                     ///< the indexer was found full, or letters or kept records are too many
    bool paused_for_full_ = false;             ///< so all partitions are paused
    PauseReason held_for_ = PauseReason::none; ///< the first cause
    bool draining_ = false;
    bool calling_ = false;      ///< the mapper or the observer of events is running
    bool turning_ = false;      ///< `turn` is running
    bool pauses_stale_ = false; ///< the client did not do what it was asked to
    StopReason stop_reason_ = StopReason::none;
    typename Clock::time_point held_since_{};
    std::uint64_t outstanding_ = 0; ///< operations handed over whose settlement has not come in
    std::uint64_t resume_at_ = 0;   ///< the `outstanding_` at which partitions resume
    std::uint64_t tracked_ = 0;     ///< records waiting for settlements, the stash included
    std::uint64_t assigned_ = 0;
    SourceStats stats_;
    detail::WaitingEvents events_;
};

} // namespace bulkhead::inline v1
