// SPDX-License-Identifier: BSL-1.0
// What a record costs from the consumer's hands to its stored offset, beside the client and the network: mapper,
// tracker, indexer, settlements, watermark. The CPU is the whole process's, so the indexer's thread is in it.

#include "obliging_transport.hpp"
#include "passthrough.hpp"

#include <bulkhead/kafka/source.hpp>
#include <bulkhead/standalone_indexer.hpp>

#include <benchmark/benchmark.h>

#include <string>

namespace {

using namespace bulkhead;
using namespace std::chrono_literals;

struct NullConsumer {
    error_code store_offset(std::string_view /*topic*/, std::int32_t /*partition*/, std::int64_t /*next*/) noexcept {
        ++stored;
        return {};
    }
    error_code pause(std::string_view /*topic*/, std::int32_t /*partition*/) noexcept { return {}; }
    error_code resume(std::string_view /*topic*/, std::int32_t /*partition*/) noexcept { return {}; }
    std::uint64_t stored = 0;
};

constexpr std::string_view topic = "apm.logs";
constexpr std::int32_t partitions = 6;

/// Records of 400 bytes in runs of 500 a partition, as a fetch brings them; poll() after each run.
template <class M>
void deliver(benchmark::State& state, M mapper, const KafkaSourceOptions& options = {}) {
    const std::string payload = R"({"message":")" + std::string(400 - 14, 'x') + R"("})";
    StandaloneIndexer<ObligingTransport> indexer{0, IndexerOptions{.index = "logs", .retry = {.max_age = unlimited}}};
    NullConsumer consumer;
    KafkaSource<typename StandaloneIndexer<ObligingTransport>::indexer_type, NullConsumer, M> source{
        *indexer, consumer, std::move(mapper), options};
    for (std::int32_t p = 0; p < partitions; ++p) source.assigned(topic, p);
    constexpr std::int64_t run = 500;
    std::int64_t number = 0;
    Record record{.topic = topic, .payload = payload};
    for (auto _ : state) {
        record.partition = static_cast<std::int32_t>(number / run % partitions);
        record.offset = number++;
        while (source.deliver(record) != Delivered::taken) {
            source.wait_for_settlements(1s);
            source.poll();
        }
        if (number % run == 0) source.poll();
    }
    source.drain();
    while (!source.drained()) {
        source.wait_for_settlements(1s);
        source.poll();
    }
    if (source.stats().settled != static_cast<std::uint64_t>(number)) state.SkipWithError("not all settled");
    state.SetItemsProcessed(state.iterations());
    state.counters["stored"] = static_cast<double>(consumer.stored);
    (void)indexer.close(10s);
}

void deliver_passthrough(benchmark::State& state) { deliver(state, Passthrough{}); }
/// A copy of each record is kept until it is settled, for its dead letter.
void deliver_keep_records(benchmark::State& state) { deliver(state, Passthrough{}, {.keep_records = true}); }
/// The bookkeeping alone: no operation, so nothing reaches the indexer.
void deliver_skipped(benchmark::State& state) {
    deliver(state, [](const Record& /*record*/, Batch& /*out*/) { return Mapped::skip; });
}

BENCHMARK(deliver_passthrough)->MeasureProcessCPUTime();
BENCHMARK(deliver_keep_records)->MeasureProcessCPUTime();
BENCHMARK(deliver_skipped)->MeasureProcessCPUTime();

} // namespace
