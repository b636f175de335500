// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstdint>

/// When a `KafkaSource` stores offsets, and what it does with records that do not become proven documents.
namespace bulkhead::inline v1 {

/// When an offset may be stored.
enum class Delivery : std::uint8_t {
    /// An offset is stored when its record and every earlier delivered one of the partition is durably settled.
    at_least_once,
    /// An offset is stored as soon as the indexer has accepted the record's operations. An operation that fails after
    /// that is reported as an event, with its bytes, and counted; a crash loses what was buffered.
    best_effort,
};

/// What happens to a record of which the server refused an operation for good, or whose operations exceed the indexer's
/// limits (`at_least_once`).
enum class OnRejected : std::uint8_t {
    /// An operation goes to the indexer's dead-letter sink, and one that the indexer cannot take to the consumer's
    /// dead-letter topic; the offset moves on when it is safe there. Without such a sink or topic: `stop`.
    dead_letter,
    skip, ///< it is reported as an event and counted, and its offset settles: the document is lost
    stop, ///< the source stops: `stopped()`; the offset never passes a record that no sink has taken over
};

/// What happens to a record that is not an event: the mapper returned `invalid`, threw, or appended what cannot be
/// sent.
enum class OnInvalid : std::uint8_t {
    skip,        ///< it is reported as an event and counted, and its offset settles: the record is passed over
    dead_letter, ///< it goes to the dead-letter topic as it is; its offset settles when it is safe there
    stop,        ///< the source stops before it; a restart meets it again
};

/// What happens to a tombstone, that is a record without payload.
enum class OnTombstone : std::uint8_t {
    /// The mapper's `tombstone` appends the delete (see `TombstoneMapper`). A mapper that has none: `skip`.
    delete_document,
    skip,        ///< it is reported as an event and counted, and its offset settles
    dead_letter, ///< it goes to the dead-letter topic; its offset settles when it is safe there
};

/// What happens to an operation that may or may not be applied (`Outcome::unknown`; `at_least_once`).
enum class OnUnknown : std::uint8_t {
    stop,        ///< the source stops; a restart reads the record again, so it may be applied twice, but not lost
    skip,        ///< it is reported as an event and counted, and its offset settles: it may be lost
    dead_letter, ///< the operation goes to the dead-letter topic, for someone to decide; then its offset settles
};

} // namespace bulkhead::inline v1
