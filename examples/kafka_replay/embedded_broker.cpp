// SPDX-License-Identifier: BSL-1.0
#include "embedded.hpp"

#include "failure.hpp"
#include "generator.hpp"
#include "input_file.hpp"

#include <bulkhead/test/mock_kafka.hpp>

#include <algorithm>

namespace replay {

namespace {

using bulkhead::test::MockKafka;

/// A generated event, its key and what a record costs beside them, with some reserve.
constexpr std::uint64_t bytes_a_log = 500;
constexpr std::uint64_t bytes_a_span = 300;
constexpr std::uint64_t overhead_a_record = 40;
/// Spans: one for so many logs.
constexpr std::uint64_t logs_a_span = 10;
constexpr int most_partitions = 2000;

int partitions_for(std::uint64_t bytes) {
    const int partitions = MockKafka::partitions_for(bytes);
    if (partitions > most_partitions)
        throw Failure{"the embedded broker cannot hold " + std::to_string(bytes >> 20U) + " MiB of events, at most " +
                      std::to_string(most_partitions * 4) + " MiB; use a real one: --brokers"};
    return std::max(partitions, 4);
}

} // namespace

struct EmbeddedBroker::State {
    MockKafka kafka{1};

    void fill_from_file(const Options& options, const std::function<bool()>& interrupted, Produced& produced) {
        const auto report = read_input_file(options.input, [](std::string_view) {});
        produced.partitions = partitions_for(report.bytes + report.events * overhead_a_record);
        kafka.create_topic(options.topic, produced.partitions);
        bool stop = false;
        read_input_file(options.input, [&](std::string_view event) {
            if ((produced.records & 0xfffU) == 0) stop = stop || interrupted();
            if (stop) return;
            const auto partition = produced.records % static_cast<std::uint64_t>(produced.partitions);
            kafka.produce(options.topic, static_cast<std::int32_t>(partition), std::nullopt, event);
            ++produced.records;
            produced.bytes += event.size();
        });
    }

    void fill_generated(const Options& options, const std::function<bool()>& interrupted, Produced& produced) {
        const EventGenerator generator{options.seed};
        produced.invalid = 0;
        produced.partitions = partitions_for(options.messages * bytes_a_log);
        kafka.create_topic(options.topic, produced.partitions);
        std::string key;
        std::string event;
        const auto produce = [&](const std::string& topic, std::uint64_t i, int partitions, Kind kind) {
            const auto partition = static_cast<std::int32_t>(i % static_cast<std::uint64_t>(partitions));
            if (kind == Kind::without_payload) {
                kafka.produce(topic, partition, key, std::nullopt);
                ++produced.without_payload;
            } else {
                kafka.produce(topic, partition, key, event);
                produced.bytes += event.size();
            }
            if (kind == Kind::invalid) ++*produced.invalid;
            ++produced.records;
        };
        for (std::uint64_t i = 0; i < options.messages; ++i) {
            if ((i & 0xfffU) == 0 && interrupted()) return;
            produce(options.topic, i, produced.partitions, generator.log(i, key, event));
        }
        if (options.span_topic.empty()) return;
        const auto spans = options.messages / logs_a_span;
        const int partitions = partitions_for(spans * bytes_a_span);
        kafka.create_topic(options.span_topic, partitions);
        for (std::uint64_t i = 0; i < spans; ++i)
            produce(options.span_topic, i, partitions, generator.span(i, key, event));
    }
};

EmbeddedBroker::EmbeddedBroker() : state_{std::make_unique<State>()} {}
EmbeddedBroker::~EmbeddedBroker() = default;

std::string EmbeddedBroker::brokers() const { return state_->kafka.bootstrap_servers(); }

Produced EmbeddedBroker::fill(const Options& options, const std::function<bool()>& interrupted) {
    Produced produced;
    if (!options.error_topic.empty()) state_->kafka.create_topic(options.error_topic, 4);
    if (options.input.empty()) {
        state_->fill_generated(options, interrupted, produced);
    } else {
        state_->fill_from_file(options, interrupted, produced);
        if (!options.span_topic.empty()) state_->kafka.create_topic(options.span_topic, 1);
    }
    state_->kafka.flush();
    auto readable = state_->kafka.readable(options.topic);
    if (!options.span_topic.empty()) readable += state_->kafka.readable(options.span_topic);
    if (static_cast<std::uint64_t>(readable) != produced.records)
        throw Failure{"the embedded broker holds " + std::to_string(readable) + " of " +
                      std::to_string(produced.records) + " records"};
    return produced;
}

} // namespace replay
