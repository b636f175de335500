// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/settlement.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

/// What a `KafkaSource` counts, why it has stopped or paused, and where its partitions stand.
namespace bulkhead::inline v1 {

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

/// What a source did. Counts records, unless operations are named. At every moment
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
    stopped,      ///< the source takes no more records, see `StopReason`
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
