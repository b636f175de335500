// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "simulation/kafka/facts.hpp"
#include "simulation/kit/faulty_network.hpp"
#include "simulation/kit/random.hpp"
#include <bulkhead/kafka/source_options.hpp>
#include <bulkhead/options.hpp>
#include <bulkhead/test/model_kafka.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

/// What one life of a consumer group is like: drawn once, before it begins.
namespace bulkhead::inline v1::test::simulation {

/// Where the dead letters of a member's indexer go.
enum class SinkKind : std::uint8_t { none, topic, own };

struct KafkaScenario {
    IndexerOptions indexer;
    KafkaSourceOptions source;
    SinkKind sink{};
    bool with_topic = false;     ///< for dead letters
    bool static_members = false; ///< members have instance names, which outlive them
    std::chrono::milliseconds revoke_drain{};
    std::chrono::milliseconds commit_every{};
    std::size_t members = 0;
    std::vector<Kind> kinds; ///< of records that are not plain documents
    FaultPlan faults;
    std::size_t max_body_taken = 0; ///< bytes; a larger request is answered 413
    std::size_t letter_trouble = 0; ///< of ten

    /// The faults end, and an operator sets other policies where a source has stopped.
    void heal() {
        if (source.on_invalid == OnInvalid::stop) source.on_invalid = OnInvalid::skip;
        if (source.on_rejected != OnRejected::skip && (sink == SinkKind::none || !with_topic))
            source.on_rejected = OnRejected::skip;
        if (source.on_rejected == OnRejected::stop) source.on_rejected = OnRejected::dead_letter;
        indexer.max_buffered_operations = std::max<std::size_t>(indexer.max_buffered_operations, 30);
    }
};

/// Draws a `KafkaScenario`, and creates its topics.
class KafkaScenarioChooser {
public:
    KafkaScenarioChooser(Random& random, ModelKafka& kafka) : random_{random}, kafka_{kafka} {}
    [[nodiscard]] KafkaScenario operator()() {
        choose_indexer();
        choose_source();
        made_.members = random_.between(2, 3);
        const auto topics = random_.between(1, 2);
        for (std::size_t i = 0; i < topics; ++i)
            kafka_.create_topic(i == 0 ? "apm.logs" : "apm.traces", static_cast<std::int32_t>(random_.between(1, 4)));
        choose_faults();
        return std::move(made_);
    }

private:
    void choose_indexer() {
        auto& indexer = made_.indexer;
        indexer.index = "logs";
        indexer.max_batch_operations = random_.between(1, 30);
        indexer.max_batch_bytes = random_.between(1024, 8000);
        indexer.max_in_flight = random_.between(1, 5);
        indexer.max_buffered_operations = random_.once_in(2) ? random_.between(4, 40) : random_.between(40, 1000);
        indexer.max_buffered_bytes = random_.between(65'536, 200'000);
        indexer.max_operation_bytes = 700;
        indexer.flush_interval = std::chrono::milliseconds{random_.between(1, 300)};
        indexer.retry.max_attempts = static_cast<std::uint32_t>(random_.between(2, 8));
        indexer.retry.initial_backoff = std::chrono::milliseconds{random_.between(1, 100)};
        indexer.retry.max_backoff = std::chrono::milliseconds{random_.between(100, 2000)};
        indexer.retry.max_age = unlimited; // a source refuses another
        indexer.duplicates = random_.pick<Duplicates>({Duplicates::forbid, Duplicates::allow, Duplicates::client_id});
        indexer.ordering = random_.once_in(3) ? Ordering::per_id : Ordering::none;
        indexer.flood.percent = 0; // a flood ends when a mapping is fixed; the other simulation has it
    }
    void choose_source() {
        auto& source = made_.source;
        made_.with_topic = random_.once_in(2);
        made_.sink = random_.once_in(3)                       ? SinkKind::own
                     : made_.with_topic && random_.once_in(2) ? SinkKind::topic
                                                              : SinkKind::none;
        source.on_invalid = made_.with_topic     ? OnInvalid(random_.below(3))
                            : random_.once_in(3) ? OnInvalid::stop
                                                 : OnInvalid::skip;
        source.on_tombstone = OnTombstone(random_.below(made_.with_topic ? 3 : 2));
        source.on_rejected = OnRejected(random_.below(3));
        source.on_unknown = OnUnknown(random_.below(made_.with_topic ? 3 : 2));
        source.max_span_per_partition = random_.once_in(2) ? random_.between(1, 60) : 1000;
        source.max_letter_bytes = random_.once_in(2) ? 1024 : std::size_t{1} << 20;
        source.keep_records = random_.once_in(2);
        source.max_kept_bytes = random_.once_in(2) ? 1024 : std::size_t{1} << 20;
        source.pause_after = std::chrono::milliseconds{random_.once_in(2) ? 0 : random_.between(10, 400)};
        made_.revoke_drain = std::chrono::milliseconds{random_.once_in(3) ? 0 : 10 * random_.between(1, 50)};
        made_.static_members = random_.once_in(3);
    }
    void choose_faults() {
        for (std::size_t kind = 1; kind < kind_count; ++kind)
            if (random_.once_in(2)) made_.kinds.push_back(Kind(kind));
        made_.faults.choose(random_);
        made_.max_body_taken = random_.between(1500, 6000);
        made_.letter_trouble = random_.once_in(2) ? random_.between(1, 4) : 0;
        made_.commit_every = std::chrono::milliseconds{random_.between(10, 500)};
    }

    Random& random_;
    ModelKafka& kafka_;
    KafkaScenario made_;
};

} // namespace bulkhead::inline v1::test::simulation
