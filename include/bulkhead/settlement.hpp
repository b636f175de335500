// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/action_line.hpp>

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>

namespace bulkhead::inline v1 {

/// How an accepted operation ended. Every accepted operation gets exactly one of these, once.
enum class Outcome : std::uint8_t {
    indexed,       ///< proven: the server answered success at this operation's position
    superseded,    ///< proven: a newer version, or this very operation, is already there
    rejected,      ///< the server refused this operation for good, or its attempts ran out
    dead_lettered, ///< the dead-letter sink has acknowledged it
    dropped,       ///< given up by `Overflow::drop_oldest`
    undelivered,   ///< certainly not applied: the indexer closed, or the operation grew too old
    unknown,       ///< may be applied: sent, never answered, and not safe to repeat
};
/// How many outcomes there are.
inline constexpr std::size_t outcome_count = 7;

/// Whether an outcome proves that the server's store reflects the operation (or that a sink has taken it over). What is
/// not durable must not move a Kafka offset unless a policy says so by name.
[[nodiscard]] constexpr bool durable(Outcome outcome) noexcept {
    return outcome == Outcome::indexed || outcome == Outcome::superseded || outcome == Outcome::dead_lettered;
}

/// The outcome's name as in the documentation, e.g. `"dead_lettered"`.
[[nodiscard]] constexpr std::string_view to_string(Outcome outcome) noexcept {
    constexpr std::string_view names[] = {"indexed", "superseded",  "rejected", "dead_lettered",
                                          "dropped", "undelivered", "unknown"};
    static_assert(std::size(names) == outcome_count);
    return names[static_cast<std::size_t>(outcome)];
}

/// What a proven success did, where the answer contains it (asked for only in a bulk that holds updates or deletes).
enum class Result : std::uint8_t {
    unspecified, ///< not in the answer: created or updated
    created,
    updated,
    deleted,
    noop,       ///< an update that changed nothing
    not_found,  ///< a delete of a document that was not there
    redirected, ///< stored in the data stream's failure store instead (Elasticsearch `failure_store: used`)
};

/// Why an operation did not succeed. All views are valid only while the observer that was given them runs. `reason` and
/// the operation's bytes may quote documents: treat them as sensitive. In texts of the server, control characters are
/// replaced by spaces: each is one line and cannot control a terminal.
struct Failure {
    std::string_view type;        ///< the server's error type, or the name of a `bulkhead::errc`
    std::string_view reason;      ///< the server's reason, or what was wrong with the endpoint; ≤ 1 KiB; may be empty
    std::string_view action_line; ///< the operation's action line as sent, without the newline
    std::string_view source;      ///< the operation's source as sent, without the newline; empty for a delete

    /// The index, alias or data stream that the operation names. Read out of `action_line` at each call, as the next
    /// two are: nothing is spent on them before. Empty for `Outcome::dropped`, of which only the ticket is kept. Throws
    /// `std::bad_alloc`.
    [[nodiscard]] std::string index() const { return named().index; }
    /// The document's id, decoded; absent when the operation has none: then the server makes it.
    [[nodiscard]] std::optional<std::string> id() const { return named().id; }
    /// The operation's routing, decoded.
    [[nodiscard]] std::optional<std::string> routing() const { return named().routing; }

private:
    [[nodiscard]] ActionLine named() const { return parse_action_line(action_line).value_or(ActionLine{}); }
};

/// The end of one operation. The observer of the subscription that made its ticket is notified of it.
struct Settlement {
    std::uint64_t key = 0; ///< the ticket's key
    /// How it ended.
    Outcome outcome = Outcome::unknown;
    /// What a proven success did, where the answer contains it.
    Result result = Result::unspecified;
    std::uint16_t status = 0;   ///< the HTTP status at this operation's position; 0 when there was none
    std::uint32_t attempts = 0; ///< how often the server has answered about this operation
    /// Present unless `outcome` is `indexed` or `superseded`. Valid only while the observer runs.
    const Failure* failure = nullptr;
};

/// Identifies the observer to notify of an operation's settlement (subscription slot and generation) and a key chosen
/// by the caller. Two words, copied freely. The default ticket names no observer: the operation is only counted.
struct Ticket {
    /// The slot of a ticket that names no observer.
    static constexpr std::uint32_t nobody = 0xffffffffU;
    /// The subscription's; `nobody`: none.
    std::uint32_t slot = nobody;
    /// Of the slot, which is used again.
    std::uint32_t generation = 0;
    /// The caller's own, given back in `Settlement::key`.
    std::uint64_t key = 0;
    friend constexpr bool operator==(const Ticket&, const Ticket&) = default;
};

/// How one document ended: what `async_index` completes with. Owns its texts.
struct IndexResult {
    /// How it ended.
    Outcome outcome = Outcome::unknown;
    /// What a proven success did, where the answer says so.
    Result result = Result::unspecified;
    /// The HTTP status at the operation's position; 0 when there was none.
    std::uint16_t status = 0;
    /// How often the server has answered about it.
    std::uint32_t attempts = 0;
    std::string type;   ///< the server's error type, or the name of a `bulkhead::errc`; empty on success
    std::string reason; ///< the server's reason, at most 1 KiB; may quote the document
};

} // namespace bulkhead::inline v1
