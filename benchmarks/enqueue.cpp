// SPDX-License-Identifier: BSL-1.0
// What handing in costs the caller, over a transport that says at once that all is stored: everything but the network.

#include "obliging_transport.hpp"

#include <bulkhead/standalone_indexer.hpp>

#include <benchmark/benchmark.h>

#include <memory>
#include <string>

namespace {

using namespace bulkhead;
using namespace std::chrono_literals;

std::unique_ptr<StandaloneIndexer<ObligingTransport>> indexer;

void start(const benchmark::State& /*state*/) {
    indexer = std::make_unique<StandaloneIndexer<ObligingTransport>>(0, IndexerOptions{.index = "logs"});
}

void stop(const benchmark::State& /*state*/) {
    (void)indexer->close(10s);
    indexer.reset();
}

std::string document(std::size_t bytes) { return R"({"message":")" + std::string(bytes - 14, 'x') + R"("})"; }

/// Fire and forget. `refused`: the share that found the budget used up, because it is handed in faster than judged.
void enqueue(benchmark::State& state) {
    const auto source = document(static_cast<std::size_t>(state.range(0)));
    for (auto _ : state) (*indexer)->enqueue({.source = source});
    state.SetItemsProcessed(state.iterations());
    if (state.thread_index() == 0) {
        const auto stats = (*indexer)->stats();
        state.counters["refused"] = static_cast<double>(stats.refused_full) / static_cast<double>(stats.offered);
    }
}

/// What goes through in the long run: waits for room, so nothing is refused.
void enqueue_wait(benchmark::State& state) {
    const auto source = document(static_cast<std::size_t>(state.range(0)));
    for (auto _ : state)
        if ((*indexer)->enqueue_wait({.source = source}, 10s) != Admission::accepted) state.SkipWithError("refused");
    state.SetItemsProcessed(state.iterations());
}

/// The same with an id, as `KafkaSource` hands records in.
void enqueue_wait_with_id(benchmark::State& state) {
    const auto source = document(static_cast<std::size_t>(state.range(0)));
    const std::string id = "apm.logs-3-123456789";
    for (auto _ : state) {
        const Operation op{.action = Action::create, .id = id, .source = source};
        if ((*indexer)->enqueue_wait(op, 10s) != Admission::accepted) state.SkipWithError("refused");
    }
    state.SetItemsProcessed(state.iterations());
}

/// A scratch batch of 100 operations, enqueued in one piece.
void enqueue_scratch(benchmark::State& state) {
    const auto source = document(static_cast<std::size_t>(state.range(0)));
    Batch scratch;
    for (auto _ : state) {
        scratch.clear();
        for (int i = 0; i < 100; ++i) (void)scratch.append({.index = "logs", .source = source});
        while ((*indexer)->try_enqueue(scratch) == Admission::full) std::this_thread::yield();
    }
    state.SetItemsProcessed(state.iterations() * 100);
}

void settle(benchmark::internal::Benchmark* b) { b->Setup(start)->Teardown(stop)->UseRealTime(); }

BENCHMARK(enqueue)->Apply(settle)->Arg(100)->Arg(400)->Arg(4000)->ThreadRange(1, 8);
BENCHMARK(enqueue_wait)->Apply(settle)->Arg(400)->ThreadRange(1, 8);
BENCHMARK(enqueue_wait_with_id)->Apply(settle)->Arg(400)->ThreadRange(1, 8);
BENCHMARK(enqueue_scratch)->Apply(settle)->Arg(400)->ThreadRange(1, 2);

} // namespace
