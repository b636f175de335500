// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/batch.hpp>
#include <bulkhead/error.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

/// The records of a Kafka consumer, and what `KafkaSource` requires of a consumer and of a mapper.
namespace bulkhead::inline v1 {

/// A header of a Kafka record. Views: valid as long as the record.
struct RecordHeader {
    /// May be there twice.
    std::string_view name;
    /// Its bytes.
    std::optional<std::string_view> value;
};

/// A record's headers: either those given, or those that a client hands out when it is asked, so that a mapper that
/// does not look at them costs nothing.
class RecordHeaders {
public:
    /// Returns what `context` knows; valid as long as the record. May throw `std::bad_alloc`.
    using Load = std::span<const RecordHeader> (*)(void* context);

    RecordHeaders() = default;
    /// Of headers that are there already.
    RecordHeaders(std::span<const RecordHeader> headers) : headers_{headers} {} // NOLINT: meant to convert
    /// Of headers that are read when they are asked for.
    RecordHeaders(Load load, void* context) noexcept : load_{load}, context_{context} {}

    /// The headers, in order.
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
    /// Its topic.
    std::string_view topic{};
    /// Its partition.
    std::int32_t partition = 0;
    /// Its offset in the partition.
    std::int64_t offset = 0;
    /// Absent when it has none.
    std::optional<std::string_view> key{};
    /// Absent for a tombstone; present but empty is an empty payload.
    std::optional<std::string_view> payload{};
    std::int64_t timestamp_ms = -1; ///< milliseconds since the epoch; negative when the record has none
    RecordHeaders headers{};        ///< `for (const auto& header : record.headers())`
};

/// A partition of a topic. A view.
struct TopicPartition {
    /// Its topic.
    std::string_view topic{};
    /// Its number.
    std::int32_t partition = 0;
};

/// What `KafkaSource` asks of the Kafka client. Called on the source's thread only; must not throw and must not call
/// back into the source.
///
/// - `store_offset(topic, partition, next)`: remember that the group may commit `next`, the next offset to be read.
/// - `pause`, `resume`: stop and resume fetching a partition. `resume` is called only for a partition that was paused,
///   in this assignment or an earlier one: a client may keep the pause. After an assignment `pause` may be repeated.
///
/// An error means that it has to be tried again: the source does so at the next `poll()`.
template <class C>
concept Consumer = requires(C& client, std::string_view topic, std::int32_t partition, std::int64_t offset) {
    { client.store_offset(topic, partition, offset) } -> std::convertible_to<error_code>;
    { client.pause(topic, partition) } -> std::convertible_to<error_code>;
    { client.resume(topic, partition) } -> std::convertible_to<error_code>;
};

/// A `Consumer` that can also set the group's offset back. `KafkaSource` asks for that because a client that only
/// commits higher offsets leaves the group above records that nobody has read, after a topic was deleted and created
/// again, its log was truncated, or a committed offset was out of range.
///
/// - `set_offset(topic, partition, next)`: store `next`, and commit it even if the group's offset is higher. It is
/// called
///   instead of `store_offset` for the first offset of an assignment, and for the first one after the client went back
///   below what was stored. The client must send this commit only while the partition is assigned and not lost: a group
///   takes a lower offset from a member that no longer owns the partition. A commit that fails is the client's to
///   repeat.
template <class C>
concept OffsetSetter = Consumer<C> &&
    requires(C& client, std::string_view topic, std::int32_t partition, std::int64_t offset) {
    { client.set_offset(topic, partition, offset) } -> std::convertible_to<error_code>;
};

/// What a mapper returns for a record.
enum class Mapped : std::uint8_t {
    operations, ///< it appended the record's operations; appending none is the same as `skip`
    skip,       ///< nothing to index
    invalid,    ///< not an event: it is skipped with a warning and counted apart
};

/// Turns a record into operations: `Mapped mapper(const Record&, Batch& out)` appends none, one or several to `out`,
/// which is empty at the call. The record has a payload. An exception means `invalid`, but for `std::bad_alloc`: then
/// the record is not taken.
template <class M>
concept Mapper = requires(M& mapper, const Record& record, Batch& out) {
    { mapper(record, out) } -> std::same_as<Mapped>;
};

/// A mapper that also knows what a tombstone (a record without payload) deletes: `Mapped tombstone(const Record&,
/// Batch& out)` appends the delete. It returns `invalid` where it cannot, e.g. because the key is missing.
template <class M>
concept TombstoneMapper = Mapper<M> && requires(M& mapper, const Record& record, Batch& out) {
    { mapper.tombstone(record, out) } -> std::same_as<Mapped>;
};

/// What `KafkaSource::deliver` did with a record.
enum class Delivered : std::uint8_t {
    taken,   ///< the source has it: the caller may forget it
    busy,    ///< not taken: keep it and deliver it again, or seek back to its offset
    ignored, ///< its partition is not assigned: forget it, its owner will read it
};

} // namespace bulkhead::inline v1
