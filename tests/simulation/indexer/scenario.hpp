// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "simulation/indexer/coverage.hpp"
#include "simulation/kit/faulty_network.hpp"
#include "simulation/kit/random.hpp"
#include <bulkhead/options.hpp>
#include <bulkhead/test/manual_clock.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

/// What one life of an indexer is like: drawn once, before it begins.
namespace bulkhead::inline v1::test::simulation {

struct Scenario {
    static constexpr auto no_limit = static_cast<std::size_t>(-1);

    IndexerOptions options;
    FaultPlan faults;
    std::size_t max_operations_taken = no_limit; ///< of a request that does not fail
    std::size_t bulky_failure = 0;               ///< how a larger request fails
    std::size_t max_body_taken = 0;              ///< bytes; a larger request is answered 413
    bool with_sink = false;
    bool patient = false;            ///< there is little room, and producers wait for it
    bool stream = false;             ///< all operations go to a data stream
    bool lone_poison = false;        ///< one malformed operation, and no other fault
    bool discard_unparsable = false; ///< by a rule of the user's
    bool called_back = false;        ///< the observer enqueues and throws
    std::optional<Refusal> own_kind; ///< by a rule of the user's
    std::vector<Refusal> kinds;      ///< for which items may be refused
    std::size_t sink_trouble = 0;    ///< of ten writes
    std::size_t one_in_bad = 25;
    /// The shortest pause after a failure.
    [[nodiscard]] ManualClock::duration min_backoff() const {
        return ManualClock::duration{options.retry.initial_backoff} / 10;
    }
};

/// Draws a `Scenario`.
class ScenarioChooser {
public:
    explicit ScenarioChooser(Random& random) : random_{random} {}
    [[nodiscard]] Scenario operator()() {
        made_.stream = random_.once_in(5);
        made_.options.index = made_.stream ? "stream" : "logs";
        choose_options();
        choose_faults();
        choose_refusals();
        made_.lone_poison = random_.once_in(12);
        if (made_.lone_poison) keep_one_fault();
        return std::move(made_);
    }

private:
    void choose_options() {
        auto& options = made_.options;
        options.max_batch_operations = random_.between(1, 30);
        options.max_batch_bytes = random_.between(1024, 8000);
        options.max_in_flight = random_.between(1, 6);
        options.max_buffered_bytes = random_.between(65'536, 200'000);
        options.max_buffered_operations = random_.between(50, 2000);
        options.flush_interval = std::chrono::milliseconds{random_.between(1, 500)};
        options.retry.max_attempts = static_cast<std::uint32_t>(random_.between(1, 6));
        options.retry.initial_backoff = std::chrono::milliseconds{random_.between(1, 200)};
        options.retry.max_backoff = std::chrono::milliseconds{random_.between(200, 5000)};
        options.retry.min_retry_time = std::chrono::milliseconds{random_.once_in(3) ? 0 : random_.below(4000)};
        options.retry.max_age =
            random_.once_in(2) ? unlimited : std::chrono::milliseconds{random_.between(500, 20'000)};
        options.duplicates = random_.pick<Duplicates>({Duplicates::forbid, Duplicates::allow, Duplicates::client_id});
        options.ordering = random_.once_in(3) ? Ordering::per_id : Ordering::none;
        options.overflow = random_.once_in(5) ? Overflow::drop_oldest : Overflow::refuse;
        made_.patient = random_.once_in(4);
        if (made_.patient) options.max_buffered_operations = options.max_batch_operations + random_.below(40) + 1;
        options.retry.budget_percent = static_cast<std::uint32_t>(random_.below(3) * 10);
        options.min_in_flight = random_.between(1, options.max_in_flight);
        options.flood.operations = random_.between(5, 200);
        options.flood.percent = static_cast<std::uint32_t>(random_.between(20, 60));
    }
    void choose_faults() {
        made_.with_sink = random_.once_in(2);
        if (made_.with_sink) made_.sink_trouble = random_.below(5);
        made_.called_back = random_.once_in(4);
        made_.one_in_bad = made_.with_sink && random_.once_in(4) ? 2 : 25;
        made_.faults.choose(random_);
        made_.max_body_taken = random_.between(600, 6000);
        made_.max_operations_taken =
            random_.once_in(5) ? random_.between(1, made_.options.max_batch_operations) : Scenario::no_limit;
        made_.bulky_failure = random_.below(5);
    }
    void choose_refusals() {
        auto& options = made_.options;
        for (auto kind = Refusal::capacity; kind < Refusal::own_indexed; kind = Refusal(std::size_t(kind) + 1))
            made_.kinds.push_back(kind);
        if (random_.once_in(3)) {
            const auto own = random_.below(7);
            constexpr std::array verdicts{Verdict::indexed,   Verdict::superseded,  Verdict::retry,
                                          Verdict::push_back, Verdict::environment, Verdict::reject,
                                          Verdict::discard};
            options.verdicts.push_back({422, 422, random_.once_in(2) ? "house_rule_exception" : "", verdicts[own]});
            made_.own_kind = Refusal(std::size_t(Refusal::own_indexed) + own);
            made_.kinds.push_back(*made_.own_kind);
        }
        made_.discard_unparsable = random_.once_in(8);
        if (made_.discard_unparsable)
            options.verdicts.push_back({400, 499, "document_parsing_exception", Verdict::discard});
    }
    void keep_one_fault() {
        made_.faults.clear(Fate::too_large, Fate::unpassable);
        made_.max_operations_taken = Scenario::no_limit;
        made_.sink_trouble = 0;
        made_.called_back = false;
        made_.options.max_batch_operations = random_.between(1, 300);
        made_.options.max_batch_bytes = std::size_t{1} << 20U;
        made_.options.max_buffered_bytes = std::size_t{4} << 20U;
        made_.options.max_buffered_operations = 1000;
    }

    Random& random_;
    Scenario made_;
};

/// The highest limits that were ever in force: what was admitted under them stays.
struct Bounds {
    explicit Bounds(const IndexerOptions& options)
        : batch_operations{options.max_batch_operations},
          batch_bytes{options.max_batch_bytes}, in_flight{options.max_in_flight},
          buffered_bytes{options.max_buffered_bytes}, buffered_operations{options.max_buffered_operations} {}
    void raise(const Limits& limits) {
        batch_operations = std::max(batch_operations, limits.max_batch_operations.value_or(0));
        batch_bytes = std::max(batch_bytes, limits.max_batch_bytes.value_or(0));
        in_flight = std::max(in_flight, limits.max_in_flight.value_or(0));
        buffered_bytes = std::max(buffered_bytes, limits.max_buffered_bytes.value_or(0));
        buffered_operations = std::max(buffered_operations, limits.max_buffered_operations.value_or(0));
    }
    std::size_t batch_operations;
    std::size_t batch_bytes;
    std::size_t in_flight;
    std::size_t buffered_bytes;
    std::size_t buffered_operations;
};

} // namespace bulkhead::inline v1::test::simulation
