// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "simulation/kit/counters.hpp"
#include "simulation/kit/faulty_network.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

/// What may happen in the simulated life of an indexer (`indexer/simulation.hpp`), and how often it did: a simulation
/// in which something never happened proves nothing about it.
namespace bulkhead::inline v1::test::simulation {

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
inline constexpr std::size_t refusal_count = values_up_to(Refusal::own_discard);
constexpr std::string_view name_of(Refusal refusal) noexcept {
    constexpr auto names = std::to_array<std::string_view>(
        {"item 429", "item disk full", "item read-only", "item forbidden", "item 401", "item 408", "item 425",
         "item not now", "item 5xx", "item conflict", "item lost race", "item 403", "own rule indexed",
         "own rule superseded", "own rule retry", "own rule push back", "own rule environment", "own rule reject",
         "own rule discard"});
    static_assert(names.size() == refusal_count);
    return names[static_cast<std::size_t>(refusal)];
}

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
    unobserved,      ///< an operation whose subscription was gone
    attempts_ended,  ///< an operation was refused so often that it was not sent again
    waited_for_room, ///< `async_enqueue` came in later
    closed_waiting,  ///< `async_enqueue` was refused by a close
    awaited,         ///< `async_index` completed with the outcome of its operation
    half_applied,    ///< what stood before a malformed operation was applied, and the request refused
    retry_after,     ///< nothing was sent for as long as `Retry-After` asked for
    lone_poison,     ///< a malformed operation among good ones was found within its bound of requests
    data_stream,     ///< all of it went to a data stream
    doc_updated,     ///< an update with a `doc` was applied
    idle,            ///< nothing was left to do, and nothing was done
    reported,        ///< requests failed, and `on_event` was called once for them
    passed_smaller,  ///< after requests that failed by their size smaller ones were taken
    charged_alone,   ///< an operation that failed alone while others were taken
};
inline constexpr std::size_t mark_count = values_up_to(Mark::charged_alone);
constexpr std::string_view name_of(Mark mark) noexcept {
    constexpr auto names = std::to_array<std::string_view>(
        {"sent again",     "waited for an id", "order proven",    "sink failed",    "sink slow",   "limits changed",
         "flushed",        "flush late",       "closed early",    "handed back",    "called back", "threw",
         "told nobody",    "attempts ended",   "waited for room", "closed waiting", "awaited",     "half applied",
         "wish kept",      "lone poison",      "data stream",     "doc updated",    "idle",        "told operator",
         "passed smaller", "charged alone"});
    static_assert(names.size() == mark_count);
    return names[static_cast<std::size_t>(mark)];
}

/// What was seen, over all seeds.
struct Coverage {
    Counters<Fate, fate_count> fates;
    Counters<Refusal, refusal_count> refusals;
    Counters<Outcome, outcome_count> outcomes;
    Counters<Health, health_count> healths; ///< of the indexer at the end of a step
    Counters<Mark, mark_count> marks;
    std::uint64_t operations = 0;
    std::uint64_t requests = 0;
    Digest digest; ///< of every byte that was sent, and of every settlement, with its time

    /// Calls `f(name, times)` for everything that must have happened.
    template <class F>
    void for_each(F f) const {
        fates.for_each(f);
        refusals.for_each(f);
        outcomes.for_each(f);
        healths.for_each(f);
        marks.for_each(f);
    }
};

} // namespace bulkhead::inline v1::test::simulation
