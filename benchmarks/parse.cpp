// SPDX-License-Identifier: BSL-1.0
// A bulk answer of 1,000 items → what it says of each, by position.

#include "obliging_transport.hpp"

#include <bulkhead/detail/judge/answer_parser.hpp>

#include <boost/json/parse.hpp>

#include <benchmark/benchmark.h>

#include <string>

namespace {

using namespace bulkhead;

constexpr std::size_t items = 1000;

/// What a server says of an item when no `filter_path` asks for less.
std::string unfiltered() {
    std::string answer = R"({"took":7,"errors":false,"items":[)";
    for (std::size_t i = 0; i < items; ++i) {
        answer += i == 0 ? "" : ",";
        answer += R"({"create":{"_index":".ds-logs-2026.11.24-000001","_id":"kZ3xyZoBq0r7c9mW)" + std::to_string(i) +
                  R"(","_version":1,"result":"created","_shards":{"total":2,"successful":1,"failed":0},"_seq_no":)" +
                  std::to_string(1'000'000 + i) + R"(,"_primary_term":1,"status":201}})";
    }
    return answer += "]}";
}

/// Every tenth item was refused for want of room.
std::string partly_refused() {
    std::string answer = R"({"errors":true,"items":[)";
    for (std::size_t i = 0; i < items; ++i) {
        answer += i == 0 ? "" : ",";
        answer += i % 10 != 0 ? R"({"create":{"status":201}})"
                              : R"({"create":{"status":429,"error":{"type":"es_rejected_execution_exception",)"
                                R"("reason":"rejected execution of primary operation [shard 3, number )" +
                                    std::to_string(i) + R"(]"}}})";
    }
    return answer += "]}";
}

void parse(benchmark::State& state, const std::string& answer) {
    BulkAnswerParser parser;
    for (auto _ : state) {
        parser.start(items);
        const bool taken = parser.on_body(answer);
        if (!taken || !parser.finish()) state.SkipWithError("not understood");
        benchmark::DoNotOptimize(parser.items().data());
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(items));
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(answer.size()));
}

/// What it would cost to build a tree of the answer and look at nothing.
void parse_to_tree(benchmark::State& state, const std::string& answer) {
    for (auto _ : state) benchmark::DoNotOptimize(boost::json::parse(answer));
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(items));
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(answer.size()));
}

BENCHMARK_CAPTURE(parse, clean, clean_answer(items));
BENCHMARK_CAPTURE(parse, partly_refused, partly_refused());
BENCHMARK_CAPTURE(parse, unfiltered, unfiltered());
BENCHMARK_CAPTURE(parse_to_tree, clean, clean_answer(items));
BENCHMARK_CAPTURE(parse_to_tree, unfiltered, unfiltered());

} // namespace
