// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/kafka/dead_letter.hpp>
#include <bulkhead/kafka/record.hpp>
#include <bulkhead/options.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

/// What a `KafkaSource` is told to do with what, and what it tells.
namespace bulkhead::inline v1 {

/// When an offset may be stored.
enum class Delivery : std::uint8_t {
    /// An offset is stored when its record and every earlier delivered one of the partition is durably settled.
    at_least_once,
    /// An offset is stored as soon as the indexer has accepted the record's operations. What then fails is told as an
    /// event with its items, and counted; a crash loses what was buffered.
    best_effort,
};

/// What happens to a record of which the server refused an operation for good, or whose operations exceed the indexer's
/// limits (`at_least_once`).
enum class OnRejected : std::uint8_t {
    /// An operation goes to the indexer's dead-letter sink, and one that the indexer cannot take to the consumer's
    /// dead-letter topic; the offset moves on when it is safe there. Without such a sink or topic: `stop`.
    dead_letter,
    skip, ///< it is told as an event and counted, and its offset settles: the document is lost
    stop, ///< the source stops: `stopped()`; the offset never passes a record that no sink has taken over
};

/// What happens to a record that is not an event: the mapper said `invalid`, threw, or appended what cannot be sent.
enum class OnInvalid : std::uint8_t {
    skip,        ///< it is told as an event and counted, and its offset settles: the record is passed over
    dead_letter, ///< it goes to the dead-letter topic as it is; its offset settles when it is safe there
    stop,        ///< the source stops before it; a restart meets it again
};

/// What happens to a tombstone, that is a record without payload.
enum class OnTombstone : std::uint8_t {
    /// The mapper's `tombstone` appends the delete (see `TombstoneMapper`). A mapper that has none: `skip`.
    delete_document,
    skip,        ///< it is told as an event and counted, and its offset settles
    dead_letter, ///< it goes to the dead-letter topic; its offset settles when it is safe there
};

/// What happens to an operation that may or may not be applied (`Outcome::unknown`; `at_least_once`).
enum class OnUnknown : std::uint8_t {
    stop,        ///< the source stops; a restart reads the record again, so it may be applied twice, but not lost
    skip,        ///< it is told as an event and counted, and its offset settles: it may be lost
    dead_letter, ///< the operation goes to the dead-letter topic, for someone to decide; then its offset settles
};

/// Why a source takes no more records for good.
enum class StopReason : std::uint8_t {
    none,
    rejected,      ///< the server refused an operation for good (`OnRejected::stop`)
    too_large,     ///< a record's operations exceed the indexer's limits (`OnRejected::stop`)
    undelivered,   ///< an operation was given up, see `RetryOptions::max_age`
    unknown,       ///< an operation may or may not be applied (`OnUnknown::stop`), see `Duplicates`
    closed,        ///< the indexer is closing
    out_of_memory, ///< settlements were lost for want of memory
    invalid,       ///< a record is not an event (`OnInvalid::stop`)
    dead_letter,   ///< a record could not be written to the dead-letter topic
    rewinding,     ///< the client went back three times without passing the highest offset it had delivered
};

/// Its name as in the documentation.
[[nodiscard]] constexpr std::string_view to_string(StopReason reason) noexcept {
    constexpr std::string_view names[] = {"none",   "rejected",      "too_large", "undelivered", "unknown",
                                          "closed", "out_of_memory", "invalid",   "dead_letter", "rewinding"};
    return names[static_cast<std::size_t>(reason)];
}

/// Something an operator may want to know. All views are valid only while `on_event` runs. `reason` and `source` may
/// quote documents: treat them as sensitive.
struct SourceEvent {
    /// What happened.
    enum class Kind : std::uint8_t {
        without_payload, ///< a tombstone that no delete came of: see `OnTombstone`
        invalid,         ///< a record was not an event (`reason`): see `OnInvalid`
        too_large,       ///< a record's operations exceed the indexer's limits
        failed,          ///< an operation ended as `outcome`, which proves nothing
        letter_failed,   ///< a record could not be written to the dead-letter topic (`reason`)
        store_failed,    ///< the client did not take an offset; it will be tried again
        stopped,         ///< the source has stopped; `type` is the `StopReason`
        rewound,         ///< the client went back to `offset`, below the last stored offset (`reason`)
    };
    /// What happened.
    Kind kind{};
    /// The record's.
    std::string_view topic{};
    /// The record's; -1 when it is not known.
    std::int32_t partition = -1;
    std::int64_t offset = -1; ///< -1 when it is no longer known
    /// Of a failed operation.
    Outcome outcome = Outcome::unknown;
    /// The HTTP status at its position; 0 when there was none.
    std::uint16_t status = 0;
    /// The server's error type, the name of an `errc`, or a `StopReason`.
    std::string_view type{};
    /// The server's or the mapper's reason; may quote a document.
    std::string_view reason{};
    std::string_view action_line{}; ///< of a failed operation; empty when too many fail at once to keep them all
    /// The operation's source; empty with `action_line`.
    std::string_view source{};
};

/// What a `KafkaSource` lets its user choose. Checked at its construction (`InvalidOption`).
struct KafkaSourceOptions {
    /// When an offset may be stored. When to change: `best_effort` where a lost document matters less than a source
    /// that stands still.
    Delivery delivery = Delivery::at_least_once;
    /// What happens to a record that the server refuses for good. The policies from here on: each `dead_letter` but
    /// this one needs a consumer that writes dead letters. When to change: `skip` where a refused document may be lost;
    /// `stop` where a person must look first.
    OnRejected on_rejected = OnRejected::dead_letter;
    /// What happens to a record that is not an event. When to change: `dead_letter` to keep what was passed over.
    OnInvalid on_invalid = OnInvalid::skip;
    /// What happens to a record without payload. When to change: `skip` where nothing is ever deleted.
    OnTombstone on_tombstone = OnTombstone::delete_document;
    /// What happens to an operation that may or may not be applied. When to change: seldom: give documents the record's
    /// own id, and it cannot happen.
    OnUnknown on_unknown = OnUnknown::stop;
    /// A partition whose last delivered offset is ahead of its watermark by more than this is paused, until it is ahead
    /// by half. Bounds the tracker's memory: 16 bytes a record. 1 to 1,000,000,000. When to change: lower it to bound
    /// memory with thousands of partitions, or what is read again after a crash.
    std::size_t max_span_per_partition = 1'000'000;
    /// Bytes of records and operations on their way to the dead-letter topic, those of the indexer's sink not counted
    /// (they are in its budget). At so many the source takes no more records until half of them are safe. 1 KiB to 1
    /// GiB. When to change: raise it for records of many megabytes.
    std::size_t max_letter_bytes = std::size_t{8} << 20;
    /// Where the dead letters of the indexer's sink come from, when it is `dead_letters.sink(…)`: see
    /// `KafkaDeadLetters`. Then they are written with their record's position by the consumer, or by another sink. When
    /// to change: when refused documents go to a Kafka topic, or a file should name their offsets.
    std::optional<KafkaDeadLetters> dead_letters{};
    /// Whether each record (key, payload, headers) is kept until its operations are settled, so that a dead letter is
    /// the record itself. Costs a copy and an allocation a record. Not with `best_effort`, where a record is settled
    /// when it is handed over, and nothing says when its copy may go. When to change: `true` when a dead letter must be
    /// the very record, e.g. to be replayed to its topic.
    bool keep_records = false;
    /// Bytes of the records kept. At so many the source takes no more until half of them are settled. 1 KiB to 64 GiB.
    /// When to change: with `keep_records`, like `max_buffered_bytes`.
    std::size_t max_kept_bytes = std::size_t{64} << 20;
    /// How long after the indexer was found full all partitions are paused; records are not taken meanwhile. A client
    /// that throws its prefetched records away when it is paused (librdkafka does) wants some time. 0 ms to 1 min. When
    /// to change: some seconds for librdkafka in a loop of your own; `kafka::Driver` takes 5 s where this is 0.
    std::chrono::milliseconds pause_after{0};
    /// Called with a `SourceEvent` for an operator's log, on the source's thread. An event about a record comes before
    /// the record's offset is stored. It may call the source: `assigned`, `revoked`, `lost` and `drain` do what they
    /// always do, but `accepting` is false, `deliver` returns `Delivered::busy`, and `poll` does nothing. It must not
    /// destroy the source. An exception is swallowed and counted. When to change: always in production: to log what was
    /// skipped and why the source stopped.
    std::function<void(const SourceEvent&)> on_event{};
    /// Called, on a thread of the indexer's, when settlements have come in and none were waiting: `poll()` has work to
    /// do. Must not block and must not destroy the source. It may call `poll()` where that thread is the source's as
    /// well. For a loop whose partitions are all paused. When to change:
    /// when your loop sleeps while all partitions are paused.
    std::function<void()> on_wake{};
};

/// The first option that is out of its range, if any. `KafkaSource` throws it as `InvalidOption`.
[[nodiscard]] inline std::optional<FieldError> validate(const KafkaSourceOptions& o) {
    using namespace std::chrono_literals;
    using detail::out_of_range;
    if (auto e = out_of_range<std::size_t>("max_span_per_partition", o.max_span_per_partition, 1, 1'000'000'000))
        return e;
    if (auto e = out_of_range<std::size_t>("max_letter_bytes", o.max_letter_bytes, 1024, std::size_t{1} << 30))
        return e;
    if (auto e = out_of_range<std::size_t>("max_kept_bytes", o.max_kept_bytes, 1024, std::size_t{64} << 30)) return e;
    if (o.keep_records && o.delivery == Delivery::best_effort)
        return FieldError{"keep_records", "false with best_effort", "true"};
    return out_of_range("pause_after", o.pause_after, 0ms, 1min);
}

/// What a source did. Counts records unless it says operations. At every moment
///
///     consumed == settled + tracked + stashed + failed + abandoned
struct SourceStats {
    std::uint64_t consumed = 0;                 ///< taken from the consumer
    std::uint64_t skipped = 0;                  ///< nothing to index, tombstones without a delete included
    std::uint64_t without_payload = 0;          ///< of these: no payload, and the mapper was not asked
    std::uint64_t invalid = 0;                  ///< not an event, or refused as invalid by the indexer: see `OnInvalid`
    std::uint64_t too_large = 0;                ///< exceeding the indexer's limits: see `OnRejected`
    std::uint64_t dead_letters = 0;             ///< records and operations that are safe in the dead-letter topic
    std::uint64_t letters_failed = 0;           ///< and those that could not be written to it
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
    /// How often an offset was stored with the client.
    std::uint64_t offsets_stored = 0;
    /// How often one was set with it (`OffsetSetter`): the first of an assignment, and after the client went back.
    std::uint64_t offsets_set = 0;
    /// How often the client did not take one.
    std::uint64_t store_errors = 0;
    std::uint64_t event_errors = 0; ///< exceptions out of `on_event`, and events for which there was no memory
    std::uint64_t rewinds = 0;      ///< how often the client went back to an offset that it had delivered
    /// Now.
    std::uint64_t assigned_partitions = 0;
    /// Now.
    std::uint64_t paused_partitions = 0;

    /// Operations that ended so.
    [[nodiscard]] std::uint64_t of(Outcome outcome) const noexcept {
        return outcomes[static_cast<std::size_t>(outcome)];
    }
};

/// Why a partition is paused.
enum class PauseReason : std::uint8_t {
    none,         ///< it is not
    stopped,      ///< the source takes nothing any more, see `StopReason`
    draining,     ///< `drain()`
    span,         ///< it alone: too far ahead of its watermark, see `max_span_per_partition`
    budget,       ///< the indexer is full, or was, and half of what was under way is not settled yet
    dead_letters, ///< too many are on their way, see `max_letter_bytes`
    kept_records, ///< too many are kept, see `max_kept_bytes`
};

/// Its name as in the documentation.
[[nodiscard]] constexpr std::string_view to_string(PauseReason reason) noexcept {
    constexpr std::string_view names[] = {"none",   "stopped",      "draining",    "span",
                                          "budget", "dead_letters", "kept_records"};
    return names[static_cast<std::size_t>(reason)];
}

/// Where a partition stands.
struct PartitionState {
    /// Its topic.
    std::string topic;
    /// Its number.
    std::int32_t partition = 0;
    std::optional<std::int64_t> next{};   ///< the offset after the last one taken
    std::optional<std::int64_t> stored{}; ///< the last offset stored
    std::uint64_t span = 0;               ///< how far `next` is ahead of the watermark
    /// Whether the client fetches nothing from it.
    bool paused = false;
    PauseReason why = PauseReason::none;     ///< it is paused
    std::optional<std::int64_t> watermark{}; ///< everything taken before it is settled; nothing until one was taken
};

} // namespace bulkhead::inline v1
