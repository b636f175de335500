// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/batch.hpp>
#include <bulkhead/offset_tracker.hpp>
#include <bulkhead/options.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <concepts>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bulkhead::inline v1 {

struct RecordHeader {
    std::string_view name;
    std::optional<std::string_view> value;
};

/// One Kafka record as a consumer's callback sees it. Views: nothing is kept after the call that takes it.
struct Record {
    std::string_view topic{};
    std::int32_t partition = 0;
    std::int64_t offset = 0;
    std::optional<std::string_view> key{};
    /// Absent for a tombstone; present but empty is an empty payload.
    std::optional<std::string_view> payload{};
    std::int64_t timestamp_ms = -1; ///< milliseconds since the epoch; negative when the record has none
    std::span<const RecordHeader> headers{};
};

struct TopicPartition {
    std::string_view topic{};
    std::int32_t partition = 0;
};

/// What `KafkaSource` asks of the Kafka client. Called on the source's thread only; must not throw and must not call
/// back into the source.
///
/// - `store_offset(topic, partition, next)`: remember that the group may commit `next`, the next offset to be read.
/// - `pause`, `resume`: stop and go on fetching a partition. `resume` is called only for a partition that was paused.
///
/// An error means that it has to be tried again: the source does so at the next `poll()`.
template <class C>
concept Consumer = requires(C& client, std::string_view topic, std::int32_t partition, std::int64_t offset) {
    { client.store_offset(topic, partition, offset) } -> std::convertible_to<error_code>;
    { client.pause(topic, partition) } -> std::convertible_to<error_code>;
    { client.resume(topic, partition) } -> std::convertible_to<error_code>;
};

/// What a mapper says about a record.
enum class Mapped : std::uint8_t {
    operations, ///< it appended the record's operations; appending none is the same as `skip`
    skip,       ///< nothing to index
    invalid,    ///< not an event: it is skipped with a warning and counted apart
};

/// Turns a record into operations: `Mapped mapper(const Record&, Batch& out)` appends none, one or several to `out`,
/// which is empty at the call. An exception means `invalid`, but for `std::bad_alloc`: then the record is not taken.
template <class M>
concept Mapper = requires(M& mapper, const Record& record, Batch& out) {
    { mapper(record, out) } -> std::same_as<Mapped>;
};

enum class Delivery : std::uint8_t {
    /// An offset is stored when its record and every earlier delivered one of the partition is durably settled.
    at_least_once,
    /// An offset is stored as soon as the indexer has accepted the record's operations. What then fails is told as an
    /// event with its items, and counted; a crash loses what was buffered.
    best_effort,
};

/// What happens to a record of which the server refused an operation for good (`at_least_once`).
enum class OnRejected : std::uint8_t {
    stop, ///< the source stops: `stopped()`; the watermark never passes the record
    skip, ///< it is told as an event and counted, and its offset settles
};

/// What happens to a record without payload.
enum class WithoutPayload : std::uint8_t {
    skip, ///< skipped with a warning; its offset settles
    map,  ///< the mapper is asked, e.g. to delete the document that the key names
};

/// Why a source takes no more records for good.
enum class StopReason : std::uint8_t {
    none,
    rejected,      ///< the server refused an operation for good (`OnRejected::stop`)
    too_large,     ///< a record's operations exceed the indexer's limits (`OnRejected::stop`)
    undelivered,   ///< an operation was given up, see `RetryOptions::max_age`
    unknown,       ///< an operation may or may not be applied, see `Duplicates`
    closed,        ///< the indexer is closing
    out_of_memory, ///< settlements were lost for want of memory
};

[[nodiscard]] constexpr std::string_view to_string(StopReason reason) noexcept {
    constexpr std::string_view names[] = {"none",    "rejected", "too_large",    "undelivered",
                                          "unknown", "closed",   "out_of_memory"};
    return names[static_cast<std::size_t>(reason)];
}

/// Something an operator may want to know. All views are valid only while `on_event` runs. `reason` and `source` may
/// quote documents: treat them as sensitive.
struct SourceEvent {
    enum class Kind : std::uint8_t {
        without_payload, ///< a record without payload was skipped
        invalid,         ///< a record was not an event (`reason`), and was skipped
        too_large,       ///< a record's operations exceed the indexer's limits
        failed,          ///< an operation ended as `outcome`, which proves nothing
        store_failed,    ///< the client did not take an offset; it will be tried again
        stopped,         ///< the source has stopped; `type` is the `StopReason`
    };
    Kind kind{};
    std::string_view topic{};
    std::int32_t partition = -1;
    std::int64_t offset = -1; ///< -1 when it is no longer known
    Outcome outcome = Outcome::unknown;
    std::uint16_t status = 0;
    std::string_view type{};
    std::string_view reason{};
    std::string_view action_line{}; ///< of a failed operation; empty when too many fail at once to keep them all
    std::string_view source{};
};

struct KafkaSourceOptions {
    Delivery delivery = Delivery::at_least_once;
    OnRejected on_rejected = OnRejected::stop;
    WithoutPayload without_payload = WithoutPayload::skip;
    /// A partition whose last delivered offset is ahead of its watermark by more than this is paused, until it is ahead
    /// by half. Bounds the tracker's memory: 16 bytes a record. 1 to 1,000,000,000.
    std::size_t max_span_per_partition = 1'000'000;
    /// How long after the indexer was found full all partitions are paused; records are not taken meanwhile. A client
    /// that throws its prefetched records away when it is paused (librdkafka does) wants some time. 0 ms to 1 min.
    std::chrono::milliseconds pause_after{0};
    /// Called on the source's thread. An exception is swallowed and counted.
    std::function<void(const SourceEvent&)> on_event{};
    /// Called, on a thread of the indexer's, when settlements have come in and none were waiting: `poll()` has work to
    /// do. Must not block and must not destroy the source. For a loop whose partitions are all paused.
    std::function<void()> on_wake{};
};

/// The first option that is out of its range, if any. `KafkaSource` throws it as `InvalidOption`.
[[nodiscard]] inline std::optional<FieldError> validate(const KafkaSourceOptions& o) {
    using namespace std::chrono_literals;
    using detail::out_of_range;
    if (auto e = out_of_range<std::size_t>("max_span_per_partition", o.max_span_per_partition, 1, 1'000'000'000))
        return e;
    return out_of_range("pause_after", o.pause_after, 0ms, 1min);
}

/// What a source did. Counts records unless it says operations. At every moment
///
///     consumed == settled + tracked + stashed + failed + abandoned
struct SourceStats {
    std::uint64_t consumed = 0;                 ///< taken from the consumer
    std::uint64_t skipped = 0;                  ///< nothing to index, those without payload included; settled
    std::uint64_t without_payload = 0;          ///< of these: no payload, and the mapper was not asked
    std::uint64_t invalid = 0;                  ///< not an event, or refused as invalid by the indexer; settled
    std::uint64_t too_large = 0;                ///< exceeding the indexer's limits; settled or failed, see `OnRejected`
    std::uint64_t enqueued = 0;                 ///< accepted by the indexer
    std::uint64_t operations = 0;               ///< of these: operations
    std::uint64_t outcomes[outcome_count] = {}; ///< operations by `Outcome`, see `of()`

    std::uint64_t settled = 0;   ///< their offset may be stored, as far as they are concerned
    std::uint64_t tracked = 0;   ///< waiting for settlements
    std::uint64_t stashed = 0;   ///< 1 while the indexer is full: the record that did not fit
    std::uint64_t failed = 0;    ///< not proven and never passed by the watermark
    std::uint64_t abandoned = 0; ///< neither when their partition was revoked or lost, or was rewound

    std::uint64_t late = 0;    ///< settlements of operations whose record had been abandoned
    std::uint64_t foreign = 0; ///< records ignored because their partition was not assigned; not in `consumed`
    std::uint64_t full = 0;    ///< how often the indexer was found full
    std::uint64_t offsets_stored = 0;
    std::uint64_t store_errors = 0;
    std::uint64_t event_errors = 0; ///< exceptions out of `on_event`
    std::uint64_t assigned_partitions = 0;
    std::uint64_t paused_partitions = 0;

    [[nodiscard]] std::uint64_t of(Outcome outcome) const noexcept {
        return outcomes[static_cast<std::size_t>(outcome)];
    }
};

/// What `KafkaSource::deliver` did with a record.
enum class Delivered : std::uint8_t {
    taken,   ///< the source has it: the caller may forget it
    busy,    ///< not taken: keep it and deliver it again, or seek back to its offset
    ignored, ///< its partition is not assigned: forget it, its owner will read it
};

/// Where a partition stands.
struct PartitionState {
    std::string topic;
    std::int32_t partition = 0;
    std::optional<std::int64_t> next{};   ///< the offset after the last one taken
    std::optional<std::int64_t> stored{}; ///< the last offset stored
    std::uint64_t span = 0;               ///< how far `next` is ahead of the watermark
    bool paused = false;
};

namespace detail {

/// Where settlements wait for the source's thread. Thread-safe.
class SettlementInbox {
public:
    struct Note {
        std::uint64_t key = 0;
        std::uint32_t failure = 0; ///< position in `failures` plus one; 0 for none kept
        std::uint16_t status = 0;
        Outcome outcome{};
        bool closing = false; ///< given up because the indexer closed
    };
    struct KeptFailure {
        std::string type, reason, action_line, source;
        [[nodiscard]] std::size_t bytes() const noexcept {
            return type.size() + reason.size() + action_line.size() + source.size();
        }
    };
    struct Mail {
        std::vector<Note> notes;
        std::vector<KeptFailure> failures;
        bool incomplete = false; ///< memory ran out: settlements are missing
    };

    SettlementInbox(std::function<void()> on_wake, bool keep_failures)
        : keep_failures_{keep_failures}, on_wake_{std::move(on_wake)} {}

    void put(std::span<const Settlement> settlements) noexcept {
        bool first = false;
        {
            const std::lock_guard lock{mutex_};
            first = !ready_.load(std::memory_order_relaxed);
            try {
                add(settlements);
            } catch (const std::exception&) {
                mail_.incomplete = true;
            }
            ready_.store(true, std::memory_order_release);
        }
        if (!first) return;
        arrived_.notify_all();
        const std::lock_guard lock{wake_mutex_};
        if (!on_wake_) return;
        try {
            on_wake_();
        } catch (...) { // NOLINT: a waker has nobody to tell
        }
    }

    [[nodiscard]] bool ready() const noexcept { return ready_.load(std::memory_order_acquire); }

    /// Takes everything; `into`, emptied, becomes the new inbox, so that memory is reused.
    void take(Mail& into) noexcept {
        into.notes.clear();
        into.failures.clear();
        into.incomplete = false;
        const std::lock_guard lock{mutex_};
        std::swap(into, mail_);
        kept_bytes_ = 0;
        ready_.store(false, std::memory_order_relaxed);
    }

    /// Whether there is mail, at the latest after `timeout`.
    bool wait(std::chrono::nanoseconds timeout) {
        std::unique_lock lock{mutex_};
        return arrived_.wait_for(lock, timeout, [this] { return ready_.load(std::memory_order_relaxed); });
    }

    /// After this `on_wake` is not running and will not be called.
    void stop_waking() {
        const std::lock_guard lock{wake_mutex_};
        on_wake_ = nullptr;
    }

private:
    static constexpr std::size_t most_kept_bytes = std::size_t{4} << 20;

    void add(std::span<const Settlement> settlements) {
        mail_.notes.reserve(mail_.notes.size() + settlements.size());
        for (const auto& settlement : settlements) {
            Note note{settlement.key, 0, settlement.status, settlement.outcome, false};
            if (const auto* failure = settlement.failure) {
                note.closing = failure->type == to_string(errc::closed);
                if (keep_failures_) note.failure = keep(*failure);
            }
            mail_.notes.push_back(note);
        }
    }
    std::uint32_t keep(const Failure& failure) {
        if (kept_bytes_ > most_kept_bytes) return 0;
        mail_.failures.push_back({std::string{failure.type}, std::string{failure.reason},
                                  std::string{failure.action_line}, std::string{failure.source}});
        kept_bytes_ += mail_.failures.back().bytes() + sizeof(KeptFailure);
        return static_cast<std::uint32_t>(mail_.failures.size());
    }

    std::mutex mutex_;
    std::condition_variable arrived_;
    std::atomic<bool> ready_{false};
    Mail mail_;
    std::size_t kept_bytes_ = 0;
    const bool keep_failures_;
    std::mutex wake_mutex_;
    std::function<void()> on_wake_;
};

/// The observer that a source subscribes: it only fills the inbox, so it may outlive the source.
struct InboxObserver {
    std::shared_ptr<SettlementInbox> inbox;
    void operator()(std::span<const Settlement> settlements) const noexcept { inbox->put(settlements); }
};

} // namespace detail

/// Feeds a `BulkIndexer` from any Kafka consumer, without ever waiting and without losing a record.
///
///     deliver(record) → mapper → try_enqueue → … → settlement → inbox → OffsetTracker → Consumer::store_offset
///
/// The caller tells it what the client tells: `assigned`, `revoked`, `lost`, each record by `deliver`; and calls
/// `poll()` at least every second, messages or not. No Kafka client is known here; `kafka/rdkafka.hpp` is a ready
/// driver.
///
/// **It never drops a record.** `deliver` says what it did: *taken*, *busy* or *ignored*. When the indexer's budget is
/// full, the record that did not fit is taken nevertheless: its operations are kept encoded (the stash), and
/// `accepting()` turns false. Then all partitions are paused (after `pause_after`), `deliver` answers *busy*, and
/// `poll()` tries the stash again; partitions resume when half of what the source had under way is settled. A caller
/// that holds prefetched records keeps them and delivers them again, in order.
///
/// **An offset is stored only when everything delivered up to it is durably settled** (`Delivery::at_least_once`).
/// Invalid records and those without payload are skipped with a warning and settle. A rejected operation stops the
/// source, or is skipped by name (`OnRejected`). An operation that ended as `undelivered` or `unknown` stops it: the
/// watermark never passes it. So give the indexer `retry.max_age = unlimited`, or an outage longer than `max_age`
/// stops the source; and operations that may be repeated, that is with an id or with `Duplicates::allow`. Offsets never
/// go back within an assignment: when the client rewinds, the records are indexed again and nothing lower is stored.
///
/// Threads: one thread at a time, the consumer's; settlements reach it through an inbox. `wait_for_settlements` and a
/// revoke drain refuse to wait on a thread that is running the indexer. User code (mapper, events) never throws out of
/// it. The indexer, the consumer and whatever they run on must outlive the source.
template <class Indexer, Consumer C, Mapper M>
class KafkaSource {
public:
    /// Throws `InvalidOption`: an option out of range, or an indexer that does not refuse when full.
    KafkaSource(Indexer& indexer, C& consumer, M mapper, KafkaSourceOptions options = {})
        : indexer_{indexer}, consumer_{consumer}, mapper_{std::move(mapper)}, options_{checked(std::move(options),
                                                                                               indexer)},
          inbox_{std::make_shared<detail::SettlementInbox>(std::move(options_.on_wake), bool{options_.on_event})},
          subscription_{indexer.subscribe(indexer.get_executor(), detail::InboxObserver{inbox_})} {}
    ~KafkaSource() {
        subscription_.reset();
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
        ++assigned_;
        apply_pauses();
    }

    /// The group takes these partitions back. Flushes the indexer and waits up to `timeout` for their records to settle
    /// (not at all on a thread that runs the indexer), stores what settled, and forgets the rest: it will be delivered
    /// to the next owner. Commit the stored offsets after this.
    void revoked(std::span<const TopicPartition> partitions, std::chrono::nanoseconds timeout) {
        const auto deadline = std::chrono::steady_clock::now() + timeout;
        drop_stash_of(partitions);
        indexer_.flush();
        for (;;) {
            poll();
            const auto left = deadline - std::chrono::steady_clock::now();
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
    void lost() { lost(assigned_now()); }

    /// Takes one record, or says why not. Never waits.
    [[nodiscard]] Delivered deliver(const Record& record) {
        if (inbox_->ready()) poll();
        if (!accepting()) return Delivered::busy;
        auto* const p = find(record.topic, record.partition);
        if (p == nullptr || !p->assigned) {
            ++stats_.foreign;
            return Delivered::ignored;
        }
        // A paused client may hand over what it had prefetched; twice the limit is the end of patience.
        if (p->tracker.records() >= 2 * options_.max_span_per_partition) return Delivered::busy;
        return take(*p, record);
    }

    /// Takes in settlements, tries the stash again, pauses and resumes, and stores offsets. Never waits. At least every
    /// second, and after `on_wake`.
    void poll() {
        if (inbox_->ready()) take_settlements();
        try_stash();
        update_hold();
        store_offsets();
        if (pauses_stale_) apply_pauses();
    }

    // ---- What the caller may ask ----

    /// Whether `deliver` takes records: not while the indexer is full, nor when stopped or draining.
    [[nodiscard]] bool accepting() const noexcept {
        return !stash_ && !holding_ && !draining_ && stop_reason_ == StopReason::none;
    }
    /// The indexer was found full a moment ago, and the partitions are not paused yet: wait for settlements, then
    /// `poll()`, rather than let the client throw its prefetched records away.
    [[nodiscard]] bool about_to_pause() const noexcept { return holding_ && !paused_for_full_; }
    /// No more records are taken, for good. What is under way still settles.
    [[nodiscard]] bool stopped() const noexcept { return stop_reason_ != StopReason::none; }
    [[nodiscard]] StopReason stop_reason() const noexcept { return stop_reason_; }

    /// Waits until `poll()` has settlements to take in, at most so long. False when there are none, or when this thread
    /// is running the indexer, which must not be blocked.
    bool wait_for_settlements(std::chrono::nanoseconds timeout) {
        if (inbox_->ready()) return true;
        if (indexer_.running_in_this_thread()) return false;
        return inbox_->wait(timeout);
    }

    /// Takes no more records, pauses all partitions and flushes the indexer. Go on calling `poll()` until `drained()`.
    void drain() {
        draining_ = true;
        apply_pauses();
        indexer_.flush();
    }
    /// Nothing that the source handed over waits for its settlement, and nothing is stashed.
    [[nodiscard]] bool drained() const noexcept {
        return !stash_ && tracked_ == 0 && (at_least_once() || outstanding_ == 0);
    }

    /// On the source's thread.
    [[nodiscard]] SourceStats stats() const {
        auto stats = stats_;
        stats.stashed = stash_ ? 1 : 0;
        stats.tracked = tracked_ - stats.stashed;
        stats.assigned_partitions = assigned_;
        stats.paused_partitions = static_cast<std::uint64_t>(
            std::count_if(partitions_.begin(), partitions_.end(), [](const auto& p) { return p->paused; }));
        return stats;
    }
    /// The assigned partitions, in the order in which they were first seen. On the source's thread.
    [[nodiscard]] std::vector<PartitionState> partitions() const {
        std::vector<PartitionState> states;
        for (const auto& p : partitions_) {
            if (!p->assigned) continue;
            states.push_back({topics_[p->topic].name, p->number, p->tracker.next(), p->stored,
                              static_cast<std::uint64_t>(p->tracker.span()), p->paused});
        }
        return states;
    }
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
        std::optional<std::int64_t> stored{};
        std::int64_t floor = 0; ///< offsets up to here are not worth storing, or must not be
        bool assigned = false;
        bool dirty = false;         ///< listed in `dirty_`
        bool span_exceeded = false; ///< to be paused until the span is half of the limit
        bool paused = false;        ///< what the client was told
    };
    struct Topic {
        std::string name;
        std::vector<Partition*> partitions; ///< by number; null when never assigned
    };
    /// The record that did not fit. Its operations are in `scratch_`, and it is tracked already.
    struct Stash {
        Partition* partition = nullptr;
        Sequence sequence = 0;
        std::int64_t offset = 0;
    };

    // A ticket's key: the partition's slot above, the sequence number (best effort: the offset) below.
    static constexpr int sequence_bits = 44;
    static constexpr std::uint64_t most_partitions = std::uint64_t{1} << (64 - sequence_bits);
    static constexpr std::uint64_t sequence_mask = (std::uint64_t{1} << sequence_bits) - 1;

    static KafkaSourceOptions checked(KafkaSourceOptions options, const Indexer& indexer) {
        if (auto wrong = validate(options)) throw InvalidOption{std::move(*wrong)};
        if (indexer.options().overflow != Overflow::refuse)
            throw InvalidOption{{"overflow", "refuse, as the indexer of a KafkaSource must", "drop_oldest"}};
        return options;
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
            // It was never handed over, so no settlement will come that a drain could wait for.
            end(*stash_->partition, stash_->partition->tracker.fail_record(stash_->sequence));
            stash_.reset();
            return;
        }
    }
    void forget(std::span<const TopicPartition> partitions) {
        for (const auto& name : partitions) {
            auto* const p = find(name.topic, name.partition);
            if (p != nullptr && p->assigned) leave(*p);
        }
        poll();
    }
    void leave(Partition& p) noexcept {
        if (stash_ && stash_->partition == &p) stash_.reset();
        forget_unsettled(p, [](OffsetTracker& tracker) { tracker.restart(); });
        p.assigned = p.span_exceeded = p.paused = false;
        p.stored.reset();
        --assigned_;
    }
    /// Does something to a tracker that may drop records, and counts these.
    template <class F>
    void forget_unsettled(Partition& p, F change) {
        const auto waiting = p.tracker.waiting();
        const auto failed = p.tracker.failed();
        change(p.tracker);
        tracked_ -= waiting - p.tracker.waiting();
        stats_.failed -= failed - p.tracker.failed();
        stats_.abandoned += waiting - p.tracker.waiting() + failed - p.tracker.failed();
    }

    // ---- deliver → mapper → enqueue ----

    Delivered take(Partition& p, const Record& record) {
        auto mapped = Mapped::skip;
        bool asked = false;
        why_.clear();
        try {
            p.tracker.reserve_one();
            scratch_.clear();
            if (record.payload || options_.without_payload == WithoutPayload::map) {
                asked = true;
                mapped = mapper_(record, scratch_);
            }
        } catch (const std::bad_alloc&) {
            return Delivered::busy;
        } catch (const std::exception& e) {
            mapped = Mapped::invalid;
            note_why(e.what());
        } catch (...) {
            mapped = Mapped::invalid;
            note_why("the mapper threw something that is not an exception");
        }
        ++stats_.consumed;
        const auto next = p.tracker.next();
        if (!next) p.floor = record.offset;
        if (next && record.offset < *next)
            forget_unsettled(p, [&](OffsetTracker& tracker) { tracker.rewind(record.offset); });
        mark_dirty(p);
        if (mapped == Mapped::operations && !scratch_.empty()) {
            enqueue(p, record.offset);
            return Delivered::taken;
        }
        p.tracker.delivered(record.offset, 0);
        ++stats_.settled;
        if (mapped == Mapped::invalid) {
            ++stats_.invalid;
            tell({.kind = SourceEvent::Kind::invalid, .offset = record.offset, .reason = why_}, p);
        } else {
            ++stats_.skipped;
            if (!asked) {
                ++stats_.without_payload;
                tell({.kind = SourceEvent::Kind::without_payload, .offset = record.offset}, p);
            }
        }
        limit_span(p);
        return Delivered::taken;
    }
    void note_why(const char* what) noexcept {
        try {
            why_ = what;
        } catch (const std::exception&) { // the record is invalid all the same
        }
    }

    void enqueue(Partition& p, std::int64_t offset) {
        const auto operations = at_least_once() ? static_cast<std::uint32_t>(scratch_.operations()) : 1;
        const auto sequence = p.tracker.delivered(offset, operations);
        ++tracked_;
        limit_span(p);
        if (!hand_over({&p, sequence, offset})) {
            stash_ = Stash{&p, sequence, offset};
            ++stats_.full;
            hold();
        }
    }
    /// False: the indexer is full, and the record is as before.
    bool hand_over(const Stash& record) {
        auto& p = *record.partition;
        const auto below = at_least_once() ? record.sequence : static_cast<std::uint64_t>(record.offset);
        const auto ticket = subscription_.ticket((p.slot << sequence_bits) | (below & sequence_mask));
        switch (indexer_.try_enqueue(std::as_const(scratch_), ticket)) {
        case Admission::full: return false;
        case Admission::closed:
            end(p, p.tracker.fail_record(record.sequence));
            stop(StopReason::closed);
            return true;
        case Admission::accepted:
            ++stats_.enqueued;
            stats_.operations += scratch_.operations();
            outstanding_ += scratch_.operations();
            if (!at_least_once()) end(p, p.tracker.settle_record(record.sequence));
            return true;
        case Admission::invalid:
            ++stats_.invalid;
            tell({.kind = SourceEvent::Kind::invalid,
                  .offset = record.offset,
                  .type = to_string(errc::invalid_operation)},
                 p);
            end(p, p.tracker.settle_record(record.sequence));
            return true;
        case Admission::too_large: break;
        }
        ++stats_.too_large;
        tell({.kind = SourceEvent::Kind::too_large, .offset = record.offset, .type = to_string(errc::too_large)}, p);
        if (at_least_once() && options_.on_rejected == OnRejected::stop) {
            end(p, p.tracker.fail_record(record.sequence));
            stop(StopReason::too_large);
        } else {
            end(p, p.tracker.settle_record(record.sequence));
        }
        return true;
    }

    // ---- settle → tracker → store ----

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
                end(p, p.tracker.settle(below));
                continue;
            }
            tell_failure(note, p, p.tracker.offset_of(below).value_or(-1));
            if (note.outcome == Outcome::rejected && options_.on_rejected == OnRejected::skip) {
                end(p, p.tracker.settle(below));
            } else if (end(p, p.tracker.fail(below)) != OffsetTracker::Step::late) {
                stop(reason_of(note));
            }
        }
    }
    [[nodiscard]] static StopReason reason_of(const detail::SettlementInbox::Note& note) noexcept {
        if (note.closing) return StopReason::closed;
        if (note.outcome == Outcome::rejected) return StopReason::rejected;
        return note.outcome == Outcome::unknown ? StopReason::unknown : StopReason::undelivered;
    }
    /// Counts what the end of an operation, or of all of a record's, has done.
    OffsetTracker::Step end(Partition& p, OffsetTracker::Step step) noexcept {
        using Step = OffsetTracker::Step;
        if (step == Step::late) ++stats_.late;
        if (step == Step::late || step == Step::partly) return step;
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
            if (!watermark || *watermark <= p.floor) continue;
            if (const error_code error = consumer_.store_offset(name(p), p.number, *watermark)) {
                ++stats_.store_errors;
                tell({.kind = SourceEvent::Kind::store_failed, .offset = *watermark, .reason = describe(error)}, p);
                p.dirty = true;
                dirty_[kept++] = &p;
                continue;
            }
            ++stats_.offsets_stored;
            p.stored = watermark;
            p.floor = *watermark;
        }
        dirty_.resize(kept);
    }

    // ---- full, and long spans: pause and resume ----

    void hold() {
        holding_ = true;
        resume_at_ = outstanding_ / 2 + scratch_.operations();
        paused_for_full_ = options_.pause_after == std::chrono::milliseconds::zero();
        if (!paused_for_full_) held_since_ = std::chrono::steady_clock::now();
        apply_pauses();
    }
    void try_stash() {
        if (!stash_) return;
        const auto record = *stash_;
        if (!hand_over(record)) return;
        stash_.reset();
        if (draining_) indexer_.flush();
    }
    void update_hold() {
        if (!holding_) return;
        if (stash_) {
            if (paused_for_full_ || std::chrono::steady_clock::now() - held_since_ < options_.pause_after) return;
            paused_for_full_ = true;
        } else {
            if (paused_for_full_ && outstanding_ > resume_at_) return;
            holding_ = paused_for_full_ = false;
        }
        apply_pauses();
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
        if (wanted == p.paused) return;
        const error_code error = wanted ? consumer_.pause(name(p), p.number) : consumer_.resume(name(p), p.number);
        if (error) {
            pauses_stale_ = true;
        } else {
            p.paused = wanted;
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
        if (!options_.on_event) return;
        try {
            options_.on_event(event);
        } catch (...) { // NOLINT: user code must not throw through a Kafka callback
            ++stats_.event_errors;
        }
    }

    Indexer& indexer_;
    C& consumer_;
    M mapper_;
    KafkaSourceOptions options_;
    std::shared_ptr<detail::SettlementInbox> inbox_;
    decltype(std::declval<Indexer&>().subscribe(std::declval<Indexer&>().get_executor(),
                                                std::declval<detail::InboxObserver>())) subscription_;

    std::vector<Topic> topics_;
    std::size_t last_topic_ = 0;
    std::vector<std::unique_ptr<Partition>> partitions_; ///< by slot
    std::vector<Partition*> dirty_;                      ///< whose watermark may have moved
    detail::SettlementInbox::Mail mail_;

    Batch scratch_;
    std::string why_;
    std::optional<Stash> stash_;
    bool holding_ = false;         ///< the indexer was found full
    bool paused_for_full_ = false; ///< so all partitions are paused
    bool draining_ = false;
    bool pauses_stale_ = false; ///< the client did not do what it was asked to
    StopReason stop_reason_ = StopReason::none;
    std::chrono::steady_clock::time_point held_since_{};
    std::uint64_t outstanding_ = 0; ///< operations handed over whose settlement has not come in
    std::uint64_t resume_at_ = 0;   ///< the `outstanding_` at which partitions resume
    std::uint64_t tracked_ = 0;     ///< records waiting for settlements, the stash included
    std::uint64_t assigned_ = 0;
    SourceStats stats_;
};

} // namespace bulkhead::inline v1
