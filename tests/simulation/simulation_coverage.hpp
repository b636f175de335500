// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/options.hpp>
#include <bulkhead/settlement.hpp>
#include <bulkhead/stats.hpp>

#include <array>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>

/// What may happen in a simulated life (`simulation.hpp`), and how often it did: a simulation in which something never
/// happened proves nothing about it.
namespace bulkhead::inline v1::test::simulation {

/// What may happen to a request. Each seed allows some of it.
enum class Fate : std::uint8_t {
    fine,          ///< applied and answered, item by item
    items_429,     ///< the same, but some items are refused for lack of capacity
    items_refused, ///< the same, but some items are refused for other reasons: `Refusal`
    refused,       ///< no connection
    lost_before,   ///< sent, not applied, no answer
    lost_after,    ///< sent, applied, no answer
    prefix,        ///< a part was applied, no answer
    late,          ///< no answer, and applied some time later
    slow,          ///< applied, and answered some time later
    busy,          ///< 429 or 503 as a whole, not applied
    unauthorized,  ///< 401, 403 or 407
    misconfigured, ///< 302, 404, 405, 415 or 501: not a bulk endpoint
    gateway,       ///< 502 or 504 from a proxy, applied or not
    html,          ///< 200 with something else than a bulk answer, applied or not
    short_answer,  ///< applied, an item is missing
    surplus,       ///< applied, an item too many
    early,         ///< answered before all of it was sent: refused, or a success that cannot be one
    oversized,     ///< applied, and the answer is cut off since it is too large
    too_large,     ///< 413, by the request's size
    malformed,     ///< 400, because of one of the operations; perhaps what stands before it was applied
    too_many,      ///< fails by the request's size, under another name than 413
    unpassable,    ///< fails because of one of the operations, under another name than 400
};
inline constexpr std::size_t fates = 22;
inline constexpr std::array<std::string_view, fates> fate_names{
    "fine",  "items 429", "items refused", "refused",       "lost before", "lost after", "prefix", "late",
    "slow",  "busy",      "unauthorized",  "misconfigured", "gateway",     "html",       "short",  "surplus",
    "early", "oversized", "413",           "400",           "too many",    "unpassable"};

/// Why the server refuses a single operation, and what that must lead to: again and charged an attempt, again and
/// charged nothing, or what the user's own rule says.
enum class Refusal : std::uint8_t {
    capacity,        ///< 429: charged nothing
    disk_full,       ///< 429 `cluster_block_exception`: charged nothing
    read_only,       ///< 403 `cluster_block_exception`: charged nothing
    forbidden,       ///< 403 `security_exception`: charged nothing
    unauthorized,    ///< 401: charged nothing
    timed_out,       ///< 408: again
    too_early,       ///< 425: again
    unavailable,     ///< 5xx that means not now: charged nothing
    fault,           ///< another 5xx: again, for a while
    conflict,        ///< 409 that is not about the document's version: again
    lost_race,       ///< 409 that is, of a plain update or index: somebody else wrote meanwhile, again
    index_closed,    ///< 403 of another type: for good
    own_indexed,     ///< by a rule of the user's
    own_superseded,  ///< …
    own_retry,       ///< …
    own_push_back,   ///< …
    own_environment, ///< …
    own_reject,      ///< …
    own_discard,     ///< …
};
inline constexpr std::size_t refusals = 19;
inline constexpr std::array<std::string_view, refusals> refusal_names{"item 429",
                                                                      "item disk full",
                                                                      "item read-only",
                                                                      "item forbidden",
                                                                      "item 401",
                                                                      "item 408",
                                                                      "item 425",
                                                                      "item not now",
                                                                      "item 5xx",
                                                                      "item conflict",
                                                                      "item lost race",
                                                                      "item 403",
                                                                      "own rule indexed",
                                                                      "own rule superseded",
                                                                      "own rule retry",
                                                                      "own rule push back",
                                                                      "own rule environment",
                                                                      "own rule reject",
                                                                      "own rule discard"};

/// What else must have happened.
enum class Mark : std::uint8_t {
    sent_again,      ///< an operation
    waited_for_id,   ///< an operation, for an earlier one of its id
    order_proven,    ///< the store ended with the last operation of an id
    sink_failed,     ///< the dead-letter sink
    sink_slow,       ///< it took its time
    limits_changed,  ///< while it ran
    flushed,         ///< a flush completed, and what came before it had settled
    flush_late,      ///< a flush came to its deadline
    closed_early,    ///< a close gave something up
    handed_back,     ///< and handed operations back
    called_back,     ///< an observer enqueued
    threw,           ///< an observer threw
    told_nobody,     ///< a subscription was gone
    attempts_ended,  ///< an operation was refused so often that it was not sent again
    waited_for_room, ///< `async_enqueue` came in later
    closed_waiting,  ///< `async_enqueue` was refused by a close
    awaited,         ///< `async_index` said how its operation ended
    half_applied,    ///< what stood before a malformed operation was applied, and the request refused
    wish_kept,       ///< nothing was sent for as long as the server's `Retry-After` said
    lone_poison,     ///< a malformed operation among good ones was found within its bound of requests
    data_stream,     ///< all of it went to a data stream
    doc_updated,     ///< an update with a `doc` was applied
    idle,            ///< nothing was left to do, and nothing was done
    told_operator,   ///< requests failed, and whoever runs this was told, once
    passed_smaller,  ///< after requests that failed by their size smaller ones were taken
    charged_alone,   ///< an operation that failed alone while others were taken
};
inline constexpr std::size_t marks = 26;
inline constexpr std::array<std::string_view, marks> mark_names{
    "sent again",     "waited for an id", "order proven",    "sink failed",    "sink slow",   "limits changed",
    "flushed",        "flush late",       "closed early",    "handed back",    "called back", "threw",
    "told nobody",    "attempts ended",   "waited for room", "closed waiting", "awaited",     "half applied",
    "wish kept",      "lone poison",      "data stream",     "doc updated",    "idle",        "told operator",
    "passed smaller", "charged alone"};

inline constexpr std::size_t healths = 6;

/// One number for all that happened: two versions of the library that do the same at the same times have the same.
class Digest {
public:
    void add(std::uint64_t value) noexcept { value_ = (std::rotl(value_, 5) ^ value) * 0x9e3779b97f4a7c15U; }
    void add(std::string_view text) noexcept { add(std::hash<std::string_view>{}(text)); }
    /// A request is sent.
    void sent(std::string_view body, std::chrono::nanoseconds now) noexcept {
        add(body);
        add(static_cast<std::uint64_t>(now.count()));
    }
    void settled(std::uint64_t key, Outcome outcome, std::chrono::nanoseconds now) noexcept {
        add(key);
        add(static_cast<std::uint64_t>(outcome));
        add(static_cast<std::uint64_t>(now.count()));
    }
    [[nodiscard]] std::uint64_t value() const noexcept { return value_; }

private:
    std::uint64_t value_ = 0;
};

/// What was seen, over all seeds.
struct Coverage {
    std::array<std::uint64_t, fates> fate{};
    std::array<std::uint64_t, refusals> refusal{};
    std::array<std::uint64_t, outcome_count> outcome{};
    std::array<std::uint64_t, healths> health{}; ///< steps at whose end the indexer was in it
    std::array<std::uint64_t, marks> mark{};
    std::uint64_t operations = 0;
    std::uint64_t requests = 0;
    Digest digest; ///< of every byte that was sent, and of every settlement, with its time

    /// Calls `f(name, times)` for everything that must have happened.
    template <class F>
    void for_each(F&& f) const {
        for (std::size_t i = 0; i < fates; ++i) f(fate_names[i], fate[i]);
        for (std::size_t i = 0; i < refusals; ++i) f(refusal_names[i], refusal[i]);
        for (std::size_t i = 0; i < outcome_count; ++i) f(to_string(Outcome(i)), outcome[i]);
        for (std::size_t i = 0; i < healths; ++i) f(to_string(Health(i)), health[i]);
        for (std::size_t i = 0; i < marks; ++i) f(mark_names[i], mark[i]);
    }
};

} // namespace bulkhead::inline v1::test::simulation
