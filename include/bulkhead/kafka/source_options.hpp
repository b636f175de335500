// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/kafka/dead_letter.hpp>
#include <bulkhead/kafka/policies.hpp>
#include <bulkhead/kafka/source_event.hpp>
#include <bulkhead/options.hpp>

#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

/// The options of a `KafkaSource`.
namespace bulkhead::inline v1 {

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
    /// when it is handed over, and no settlement shows when its copy may go. When to change: `true` when a dead letter
    /// must be the very record, e.g. to be replayed to its topic.
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

namespace detail {

/// The first option that does not fit the indexer or the consumer of the source, if any.
[[nodiscard]] inline std::optional<FieldError> validate(const KafkaSourceOptions& options,
                                                        const IndexerOptions& indexer, bool writes_letters) {
    if (auto wrong = v1::validate(options)) return wrong;
    const auto needs_letters = [writes_letters](std::string_view option, bool asked) -> std::optional<FieldError> {
        if (!asked || writes_letters) return std::nullopt;
        return FieldError{std::string{option}, "another policy, or a consumer with a dead-letter topic",
                          "dead_letter, and the consumer writes no dead letters"};
    };
    if (auto e = needs_letters("on_invalid", options.on_invalid == OnInvalid::dead_letter)) return e;
    if (auto e = needs_letters("on_tombstone", options.on_tombstone == OnTombstone::dead_letter)) return e;
    if (auto e = needs_letters("on_unknown", options.on_unknown == OnUnknown::dead_letter)) return e;
    if (indexer.overflow != Overflow::refuse)
        return FieldError{"overflow", "refuse, as the indexer of a KafkaSource must", "drop_oldest"};
    // The first outage that is longer would stop the source.
    if (const auto age = indexer.retry.max_age; options.delivery == Delivery::at_least_once && age != unlimited)
        return FieldError{"retry.max_age", "unlimited for the indexer of a KafkaSource that is at_least_once",
                          std::to_string(age.count()) + " ms"};
    return std::nullopt;
}

} // namespace detail

} // namespace bulkhead::inline v1
