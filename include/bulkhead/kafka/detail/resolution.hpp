// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <bulkhead/kafka/policies.hpp>
#include <bulkhead/kafka/source_stats.hpp>
#include <bulkhead/settlement.hpp>

#include <cstddef>
#include <cstdint>

/// The table of a source's policies: (policy, what happened) → commit, dead letter or stop. Pure.
namespace bulkhead::inline v1::detail {

/// The policies that apply.
struct Policies {
    Delivery delivery{};
    OnRejected on_rejected{};
    OnInvalid on_invalid{};
    OnTombstone on_tombstone{};
    OnUnknown on_unknown{};
    bool writes_letters = false; ///< the consumer does
};

/// Why a record never became operations of the indexer.
enum class RecordProblem : std::uint8_t {
    invalid,   ///< the mapper, or the indexer, refused it as no event
    tombstone, ///< without payload, and the mapper is not asked
    too_large, ///< its operations exceed the indexer's limits
    closed,    ///< the indexer is closing
};

/// What the source does about it.
struct Resolution {
    enum class Action : std::uint8_t {
        commit,      ///< the offset may move past it
        dead_letter, ///< the offset may move past it when a dead letter is safe
        stop,        ///< the offset never moves past it
    };
    Action action = Action::commit;
    StopReason stop = StopReason::none; ///< the source stops; after a commit as well

    friend constexpr bool operator==(const Resolution&, const Resolution&) = default;
};

/// Of a whole record.
[[nodiscard]] constexpr Resolution resolve(RecordProblem problem, const Policies& policies) noexcept {
    using Action = Resolution::Action;
    switch (problem) {
    case RecordProblem::invalid: {
        constexpr Resolution by_policy[] = {
            {Action::commit}, {Action::dead_letter}, {Action::stop, StopReason::invalid}};
        return by_policy[static_cast<std::size_t>(policies.on_invalid)];
    }
    case RecordProblem::tombstone:
        return {policies.on_tombstone == OnTombstone::dead_letter ? Action::dead_letter : Action::commit};
    case RecordProblem::too_large:
        if (policies.on_rejected == OnRejected::dead_letter && policies.writes_letters) return {Action::dead_letter};
        if (policies.on_rejected == OnRejected::skip || policies.delivery == Delivery::best_effort) return {};
        return {Action::stop, StopReason::too_large};
    case RecordProblem::closed: break;
    }
    return {Action::stop, StopReason::closed};
}

/// Of one operation that has settled (`at_least_once`). `closing`: the indexer gave it up because it closed.
/// `has_failure`: its bytes are at hand for a dead letter.
[[nodiscard]] constexpr Resolution resolve(Outcome outcome, bool closing, bool has_failure,
                                           const Policies& policies) noexcept {
    using Action = Resolution::Action;
    if (durable(outcome)) {
        const bool stop = outcome == Outcome::dead_lettered && policies.on_rejected == OnRejected::stop;
        return {Action::commit, stop ? StopReason::rejected : StopReason::none};
    }
    const bool rejected = outcome == Outcome::rejected && !closing;
    const bool unknown = outcome == Outcome::unknown && !closing;
    if (rejected && policies.on_rejected == OnRejected::skip) return {};
    if (unknown && policies.on_unknown == OnUnknown::skip) return {};
    if (unknown && policies.on_unknown == OnUnknown::dead_letter && has_failure) return {Action::dead_letter};
    if (closing) return {Action::stop, StopReason::closed};
    if (rejected) return {Action::stop, StopReason::rejected};
    return {Action::stop, unknown ? StopReason::unknown : StopReason::undelivered};
}

} // namespace bulkhead::inline v1::detail
