// SPDX-License-Identifier: BSL-1.0
// What the semantics cost: order by id, ids made here, and items that are refused for now, beside the plain case. One
// thread does everything, from the enqueue to the settlement, over a transport that answers at once: the network, which
// would make the differences smaller, is left out.

#include "obliging_transport.hpp"

#include <bulkhead/bulk_indexer.hpp>

#include <boost/asio/io_context.hpp>

#include <benchmark/benchmark.h>

#include <array>
#include <charconv>
#include <string>

namespace {

using namespace bulkhead;
using namespace std::chrono_literals;

/// Says that all is stored, but for so many in a hundred that it refuses for now when they come first.
class RefusingTransport {
public:
    explicit RefusingTransport(std::size_t percent) : percent_{percent} {}
    asio::awaitable<Reply> send(Request request, AnswerSink& sink) {
        Reply reply;
        reply.sent = Sent::complete;
        reply.status = 200;
        reply.body_complete = true;
        auto& answer = answers_[request.attempt == 1 ? 1 : 0];
        if (request.operations != answer.operations) {
            answer.operations = request.operations;
            answer.body = R"({"errors":true,"items":[)";
            for (std::size_t i = 0; i < request.operations; ++i) {
                const bool refused = request.attempt == 1 && i % 100 < percent_;
                answer.body.append(i == 0 ? "" : ",").append(refused ? refusal : R"({"create":{"status":201}})");
            }
            answer.body += "]}";
        }
        (void)sink.on_body(answer.body);
        co_return reply;
    }
    void shutdown() noexcept {}

private:
    // What Elasticsearch says, with the reason shortened to its beginning.
    static constexpr const char* refusal =
        R"({"create":{"status":429,"error":{"type":"es_rejected_execution_exception","reason":"rejected execution of )"
        R"(coordinating operation [coordinating_and_primary_bytes=107400000, replica_bytes=0, all_bytes=107400000]"}}})";
    struct Answer {
        std::size_t operations = 0;
        std::string body;
    };
    std::array<Answer, 2> answers_{};
    std::size_t percent_;
};

struct Case {
    Ordering ordering = Ordering::none;
    Duplicates duplicates = Duplicates::forbid;
    bool with_id = true;
    std::size_t same_id_percent = 0; ///< operations whose id is that of one under way
    std::size_t refused_percent = 0;
};

void life(benchmark::State& state, const Case& what) {
    asio::io_context context;
    IndexerOptions options{.index = "logs", .duplicates = what.duplicates, .ordering = what.ordering};
    options.retry.initial_backoff = options.retry.max_backoff = 1ms;
    BulkIndexer<RefusingTransport> indexer{context.get_executor(), RefusingTransport{what.refused_percent}, options};
    const std::string source = R"({"message":")" + std::string(386, 'x') + R"("})";
    std::string id = "apm.logs-3-";
    const auto prefix = id.size();
    std::uint64_t number = 1'000'000'000;
    constexpr std::size_t batch = 1000;
    for (auto _ : state) {
        for (std::size_t i = 0; i < batch; ++i) {
            if (i % 100 >= what.same_id_percent) ++number;
            std::array<char, 20> digits;
            auto* const end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
            id.resize(prefix);
            id.append(digits.data(), static_cast<std::size_t>(end - digits.data()));
            Operation op{.action = Action::create, .source = source};
            if (what.with_id) op.id = id;
            if (indexer.try_enqueue(op) != Admission::accepted) state.SkipWithError("refused");
        }
        context.restart();
        context.poll();
    }
    while (indexer.stats().pending != 0) {
        indexer.flush();
        context.restart();
        context.run_one_for(1ms);
    }
    if (indexer.stats().indexed != indexer.stats().accepted) state.SkipWithError("not all was indexed");
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(batch));
}

void plain(benchmark::State& state) { life(state, {.with_id = false}); }
void with_id(benchmark::State& state) { life(state, {}); }
void client_id(benchmark::State& state) { life(state, {.duplicates = Duplicates::client_id, .with_id = false}); }
void ordered_by_id(benchmark::State& state) { life(state, {.ordering = Ordering::per_id}); }
void ordered_by_id_1_percent_wait(benchmark::State& state) {
    life(state, {.ordering = Ordering::per_id, .same_id_percent = 1});
}
void ten_percent_429(benchmark::State& state) { life(state, {.refused_percent = 10}); }

BENCHMARK(plain)->MeasureProcessCPUTime();
BENCHMARK(with_id)->MeasureProcessCPUTime();
BENCHMARK(client_id)->MeasureProcessCPUTime();
BENCHMARK(ordered_by_id)->MeasureProcessCPUTime();
BENCHMARK(ordered_by_id_1_percent_wait)->MeasureProcessCPUTime();
BENCHMARK(ten_percent_429)->MeasureProcessCPUTime();

} // namespace
