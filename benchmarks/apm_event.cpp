// SPDX-License-Identifier: BSL-1.0
// An APM event as Kafka holds it → the document that is stored → the lines of a bulk request.

#include "kafka_replay/apm_event.hpp"
#include "kafka_replay/generator.hpp"

#include <bulkhead/batch.hpp>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <benchmark/benchmark.h>

#include <string>
#include <vector>

namespace {

std::vector<std::string> events() {
    const replay::EventGenerator generator{4};
    std::vector<std::string> valid;
    std::string key;
    for (std::uint64_t i = 0; valid.size() < 1024; ++i) {
        std::string event;
        if (generator.log(i, key, event) == replay::Kind::valid) valid.push_back(std::move(event));
    }
    return valid;
}

/// What the replay tool does with each record.
void apm_event(benchmark::State& state) {
    const auto all = events();
    replay::ApmEventReader reader;
    bulkhead::Batch batch;
    std::string document;
    std::size_t bytes = 0;
    std::size_t at = 0;
    for (auto _ : state) {
        const auto& event = all[at++ % all.size()];
        bytes += event.size();
        if (!reader.read(replay::StreamKey::apm_logs, event, 1'714'521'600'000, 1'714'521'601'000, document))
            state.SkipWithError("an event was not understood");
        if (batch.operations() == 1000) batch.clear();
        const auto wrong = batch.append({.action = bulkhead::Action::create,
                                         .index = "apm-logs",
                                         .id = "apm.logs-3-123456789",
                                         .on_conflict = bulkhead::OnConflict::already_there,
                                         .source = document});
        if (wrong) state.SkipWithError("an operation was refused");
    }
    state.SetItemsProcessed(state.iterations());
    state.SetBytesProcessed(static_cast<std::int64_t>(bytes));
}

/// For comparison: the same event to a Boost.JSON tree and back to text, with nothing mapped.
void tree_there_and_back(benchmark::State& state) {
    const auto all = events();
    std::size_t at = 0;
    for (auto _ : state) {
        const auto tree = boost::json::parse(all[at++ % all.size()]);
        benchmark::DoNotOptimize(boost::json::serialize(tree));
    }
    state.SetItemsProcessed(state.iterations());
}

BENCHMARK(apm_event);
BENCHMARK(tree_there_and_back);

} // namespace
