// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/batch.hpp>
#include <bulkhead/options.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

/// The words in which a Kafka consumer and `KafkaSource` talk to each other.
namespace bulkhead::inline v1 {

struct RecordHeader {
    std::string_view name;
    std::optional<std::string_view> value;
};

/// A record's headers: either those given, or those that a client hands out when it is asked, so that a mapper that
/// does not look at them costs nothing.
class RecordHeaders {
public:
    /// Returns what `context` knows; valid as long as the record. May throw `std::bad_alloc`.
    using Load = std::span<const RecordHeader> (*)(void* context);

    RecordHeaders() = default;
    RecordHeaders(std::span<const RecordHeader> headers) : headers_{headers} {} // NOLINT: meant to convert
    RecordHeaders(Load load, void* context) noexcept : load_{load}, context_{context} {}

    [[nodiscard]] std::span<const RecordHeader> operator()() const {
        return load_ == nullptr ? headers_ : load_(context_);
    }

private:
    std::span<const RecordHeader> headers_{};
    Load load_ = nullptr;
    void* context_ = nullptr;
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
    RecordHeaders headers{};        ///< `for (const auto& header : record.headers())`
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

} // namespace bulkhead::inline v1
