// SPDX-License-Identifier: BSL-1.0
// Operation → the lines of a bulk request: checking, escaping, framing, copying. 1,000 operations a turn.

#include <bulkhead/batch.hpp>

#include <boost/json/object.hpp>

#include <benchmark/benchmark.h>

#include <string>

namespace {

using namespace bulkhead;

constexpr int operations = 1000;

std::string document() { return R"({"message":")" + std::string(400 - 14, 'x') + R"("})"; }

template <class Append>
void fill(benchmark::State& state, Append append) {
    Batch batch;
    for (auto _ : state) {
        batch.clear();
        for (int i = 0; i < operations; ++i)
            if (append(batch)) state.SkipWithError("refused");
        benchmark::DoNotOptimize(batch.body().data());
    }
    state.SetItemsProcessed(state.iterations() * operations);
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(batch.bytes()));
}

void encode_source_only(benchmark::State& state) {
    const auto source = document();
    fill(state, [&](Batch& batch) { return batch.append({.index = "logs", .source = source}); });
}

void encode_with_id(benchmark::State& state) {
    const auto source = document();
    fill(state, [&](Batch& batch) {
        return batch.append(
            {.action = Action::create, .index = "logs", .id = "apm.logs-3-123456789", .source = source});
    });
}

/// Everything an operation can say that does not contradict the rest, and an id that has to be escaped.
void encode_with_all_metadata(benchmark::State& state) {
    const auto source = document();
    fill(state, [&](Batch& batch) {
        return batch.append({.index = "logs",
                             .id = "a \"quoted\" id with a \\ in it",
                             .routing = "customer-4711",
                             .pipeline = "geoip",
                             .version = 17,
                             .source = source});
    });
}

/// From a Boost.JSON tree.
void encode_tree(benchmark::State& state) {
    const boost::json::value tree{
        {"@timestamp", "2026-11-24T00:00:00Z"}, {"level", "info"}, {"message", std::string(300, 'x')}, {"number", 17}};
    fill(state, [&](Batch& batch) { return batch.append({.index = "logs"}, tree); });
}

BENCHMARK(encode_source_only);
BENCHMARK(encode_with_id);
BENCHMARK(encode_with_all_metadata);
BENCHMARK(encode_tree);

} // namespace
