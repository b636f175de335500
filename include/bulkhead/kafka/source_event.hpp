// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/settlement.hpp>

#include <cstdint>
#include <string_view>

/// The events of a `KafkaSource` for an operator.
namespace bulkhead::inline v1 {

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

} // namespace bulkhead::inline v1
