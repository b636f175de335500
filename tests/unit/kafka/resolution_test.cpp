// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"

#include <bulkhead/kafka/detail/resolution.hpp>

#include <cstddef>

using namespace bulkhead;
using bulkhead::detail::Policies;
using bulkhead::detail::RecordProblem;
using bulkhead::detail::Resolution;
using bulkhead::detail::resolve;

namespace {

constexpr Resolution commits{};
constexpr Resolution writes_a_letter{Resolution::Action::dead_letter};
constexpr Resolution stops(StopReason reason) { return {Resolution::Action::stop, reason}; }

} // namespace

TEST_CASE("a record that never becomes an operation is resolved by its policy", "[kafka_source][resolution]") {
    const auto of = [](RecordProblem problem, const Policies& policies) { return resolve(problem, policies); };
    CHECK(of(RecordProblem::invalid, {.on_invalid = OnInvalid::skip}) == commits);
    CHECK(of(RecordProblem::invalid, {.on_invalid = OnInvalid::dead_letter}) == writes_a_letter);
    CHECK(of(RecordProblem::invalid, {.on_invalid = OnInvalid::stop}) == stops(StopReason::invalid));

    CHECK(of(RecordProblem::tombstone, {.on_tombstone = OnTombstone::delete_document}) == commits);
    CHECK(of(RecordProblem::tombstone, {.on_tombstone = OnTombstone::skip}) == commits);
    CHECK(of(RecordProblem::tombstone, {.on_tombstone = OnTombstone::dead_letter}) == writes_a_letter);

    for (const bool letters : {false, true}) {
        for (const auto delivery : {Delivery::at_least_once, Delivery::best_effort}) {
            const bool keeps = delivery == Delivery::at_least_once;
            const auto lost_or_stop = keeps ? stops(StopReason::too_large) : commits;
            Policies policies{.delivery = delivery, .on_rejected = OnRejected::skip, .writes_letters = letters};
            CHECK(of(RecordProblem::too_large, policies) == commits);
            policies.on_rejected = OnRejected::stop;
            CHECK(of(RecordProblem::too_large, policies) == lost_or_stop);
            policies.on_rejected = OnRejected::dead_letter;
            CHECK(of(RecordProblem::too_large, policies) == (letters ? writes_a_letter : lost_or_stop));
            CHECK(of(RecordProblem::closed, policies) == stops(StopReason::closed));
        }
    }
}

TEST_CASE("a durable operation moves the offset, whatever the policies", "[kafka_source][resolution]") {
    std::size_t durables = 0;
    for (std::size_t i = 0; i < outcome_count; ++i) {
        const auto outcome = static_cast<Outcome>(i);
        if (!durable(outcome)) continue;
        ++durables;
        for (const auto on_rejected : {OnRejected::dead_letter, OnRejected::skip, OnRejected::stop}) {
            const auto resolution = resolve(outcome, false, false, {.on_rejected = on_rejected});
            CHECK(resolution.action == Resolution::Action::commit);
            // The sink has it, so its offset may move; the policy stops the source all the same.
            const bool stop = outcome == Outcome::dead_lettered && on_rejected == OnRejected::stop;
            CHECK(resolution.stop == (stop ? StopReason::rejected : StopReason::none));
        }
    }
    CHECK(durables == 3);
}

TEST_CASE("an operation that proves nothing moves the offset only by name", "[kafka_source][resolution]") {
    const auto rejected = [](OnRejected policy, bool closing = false) {
        return resolve(Outcome::rejected, closing, true, {.on_rejected = policy});
    };
    CHECK(rejected(OnRejected::skip) == commits);
    CHECK(rejected(OnRejected::stop) == stops(StopReason::rejected));
    CHECK(rejected(OnRejected::dead_letter) == stops(StopReason::rejected)); // no sink has it
    CHECK(rejected(OnRejected::skip, true) == stops(StopReason::closed));

    const auto unknown = [](OnUnknown policy, bool has_failure, bool closing = false) {
        return resolve(Outcome::unknown, closing, has_failure, {.on_unknown = policy});
    };
    for (const bool has_failure : {false, true}) {
        CHECK(unknown(OnUnknown::skip, has_failure) == commits);
        CHECK(unknown(OnUnknown::stop, has_failure) == stops(StopReason::unknown));
        for (const auto policy : {OnUnknown::skip, OnUnknown::stop, OnUnknown::dead_letter})
            CHECK(unknown(policy, has_failure, true) == stops(StopReason::closed));
    }
    CHECK(unknown(OnUnknown::dead_letter, true) == writes_a_letter);
    CHECK(unknown(OnUnknown::dead_letter, false) == stops(StopReason::unknown)); // there is nothing to write

    const Policies skips{.on_rejected = OnRejected::skip, .on_unknown = OnUnknown::skip};
    CHECK(resolve(Outcome::undelivered, false, true, skips) == stops(StopReason::undelivered));
    CHECK(resolve(Outcome::undelivered, true, true, skips) == stops(StopReason::closed));
    CHECK(resolve(Outcome::dropped, false, true, skips) == stops(StopReason::undelivered));
}
