// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "simulation/kafka/facts.hpp"
#include "simulation/kit/counters.hpp"
#include "simulation/kit/faulty_network.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

/// What may happen in the simulated life of a consumer group (`kafka_simulation.hpp`), and how often it did.
namespace bulkhead::inline v1::test::simulation {

/// What must have happened beside what is counted otherwise.
enum class KafkaMark : std::uint8_t {
    eager,
    cooperative,
    moved_nothing,    ///< a rebalance in which nothing of a member's own moved
    lost,             ///< the group had given a member up
    taken_over,       ///< a static member's successor had its partitions without a rebalance
    drained,          ///< a revoke waited, and all settled
    drain_timed_out,  ///< a revoke waited in vain
    left,             ///< with everything settled
    left_early,       ///< because its time was up
    closed_first,     ///< its indexer was closed under it
    killed_idle,      ///< with nothing under way
    killed_in_flight, ///< with requests out
    killed_paused,
    killed_in_drain,   ///< while it gave partitions back
    killed_in_letters, ///< with dead letters on their way
    killed_in_stash,   ///< with the record that did not fit
    applied_late,      ///< by the server, when its sender was dead
    taken_again,       ///< a record
    rewound,           ///< the client went back
    in_order,          ///< records were handed over as a span
    foreign,           ///< a record of a partition that was not assigned
    full,              ///< the indexer, and a record was stashed
    waited_to_pause,   ///< `pause_after`
    stash_dropped,     ///< its partition was taken away
    span_paused,       ///< one partition, for its span
    letters_full,      ///< `max_letter_bytes`
    kept_full,         ///< `max_kept_bytes`
    woken,
    store_failed,
    pause_failed,
    commit_failed,
    commit_unanswered, ///< it had succeeded
    commit_refused,    ///< of a generation that was over
    letter_failed,
    sink_failed,
    late,          ///< a settlement of a delivery that was abandoned
    retention,     ///< had removed what was committed
    restarted,     ///< a member, after its source had stopped
    created_again, ///< a topic, while a member had read it
    truncated,     ///< a log
    lowered,       ///< the group's offset, after that
    stranded,      ///< a group that stood above records that nobody had read yet, by no fault of a member's
    called_back,   ///< an observer of events called its source
};
inline constexpr std::size_t kafka_mark_count = values_up_to(KafkaMark::called_back);
constexpr std::string_view name_of(KafkaMark mark) noexcept {
    constexpr auto names = std::to_array<std::string_view>({"eager",
                                                            "cooperative",
                                                            "moved nothing",
                                                            "lost",
                                                            "taken over",
                                                            "drained",
                                                            "drain timed out",
                                                            "left",
                                                            "left early",
                                                            "closed first",
                                                            "killed idle",
                                                            "killed in flight",
                                                            "killed paused",
                                                            "killed in a drain",
                                                            "killed with letters",
                                                            "killed with a stash",
                                                            "applied late",
                                                            "taken again",
                                                            "rewound",
                                                            "handed over as a span",
                                                            "foreign",
                                                            "full",
                                                            "waited to pause",
                                                            "stash dropped",
                                                            "paused for its span",
                                                            "letters full",
                                                            "kept records full",
                                                            "woken",
                                                            "store failed",
                                                            "pause failed",
                                                            "commit failed",
                                                            "commit unanswered",
                                                            "commit refused",
                                                            "letter failed",
                                                            "sink failed",
                                                            "late",
                                                            "retention",
                                                            "restarted",
                                                            "topic created again",
                                                            "log truncated",
                                                            "group's offset lowered",
                                                            "group stranded",
                                                            "called back"});
    static_assert(names.size() == kafka_mark_count);
    return names[static_cast<std::size_t>(mark)];
}

/// Each policy, where it decided something.
enum class KafkaPolicy : std::uint8_t {
    invalid_skip,
    invalid_letter,
    invalid_stop,
    tombstone_delete,
    tombstone_skip,
    tombstone_letter,
    rejected_letter,
    rejected_skip,
    rejected_stop,
    large_letter,
    large_skip,
    large_stop,
    unknown_stop,
    unknown_skip,
    unknown_letter,
    letter_stop,
    closed_stop,
};
inline constexpr std::size_t kafka_policy_count = values_up_to(KafkaPolicy::closed_stop);
constexpr std::string_view name_of(KafkaPolicy policy) noexcept {
    constexpr auto names = std::to_array<std::string_view>(
        {"invalid: skip", "invalid: letter", "invalid: stop", "tombstone: delete", "tombstone: skip",
         "tombstone: letter", "rejected: letter", "rejected: skip", "rejected: stop", "too large: letter",
         "too large: skip", "too large: stop", "unknown: stop", "unknown: skip", "unknown: letter", "letter lost: stop",
         "closed: stop"});
    static_assert(names.size() == kafka_policy_count);
    return names[static_cast<std::size_t>(policy)];
}

/// What was seen, over all seeds.
struct KafkaCoverage {
    Counters<Fate, fate_count> fates;
    Counters<Outcome, outcome_count> outcomes;
    Counters<Kind, kind_count> kinds;
    Counters<KafkaMark, kafka_mark_count> marks;
    Counters<KafkaPolicy, kafka_policy_count> policies;
    std::uint64_t records = 0;
    std::uint64_t taken = 0;
    std::uint64_t crashes = 0;
    std::uint64_t letters = 0;
    Digest digest; ///< of every byte that was sent, and of every settlement, with its time

    /// Calls `f(std::string_view name, std::uint64_t times)` for each thing that must have happened.
    template <class F>
    void for_each(F f) const {
        fates.for_each(f, Fate::too_many, Fate::unpassable);
        outcomes.for_each(f, Outcome::dropped); // a source's indexer refuses
        kinds.for_each(f);
        marks.for_each(f);
        policies.for_each(f);
    }
};

} // namespace bulkhead::inline v1::test::simulation
