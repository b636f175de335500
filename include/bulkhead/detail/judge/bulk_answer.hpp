// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/settlement.hpp>

#include <cstdint>
#include <limits>
#include <string>

/// What a bulk answer says about each operation. Values only.
namespace bulkhead::inline v1 {

/// The failure store of a data stream, as an item reports it.
enum class FailureStore : std::uint8_t { absent, used, failed, not_enabled };

/// The server's answer at one operation's position.
struct ItemAnswer {
    /// The value of an error's index that means none.
    static constexpr std::uint32_t no_error = std::numeric_limits<std::uint32_t>::max();
    /// The HTTP status at this position.
    std::uint16_t status = 0;
    /// The result, where the answer has one.
    Result result = Result::unspecified;
    /// Whether the document went to the failure store.
    FailureStore failure_store = FailureStore::absent;
    std::uint32_t error = no_error; ///< see `BulkAnswerParser::error_of`
};

/// An item's error; both are cut at 1 KiB, at the boundary of a UTF-8 character, and hold spaces for control
/// characters. May quote the document. Empty where the answer has none, or one
/// that is not a string.
struct ItemError {
    /// The server's error type, at most 1 KiB.
    std::string type;
    /// The server's reason, at most 1 KiB.
    std::string reason;
};

} // namespace bulkhead::inline v1
