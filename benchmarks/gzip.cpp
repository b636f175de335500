// SPDX-License-Identifier: BSL-1.0
// A bulk → gzip at level 1: our encoder, and for comparison libdeflate alone with all its memory at hand; both on the
// same bytes. `cpu` is for each document, `ratio` is how many times smaller the bulk becomes.
// The real log lines are those of ../shared/data/access_log.gz, seen from the working directory; left out without it.

#include <bulkhead/batch.hpp>
#include <bulkhead/gzip.hpp>

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include <benchmark/benchmark.h>
#include <zlib.h>

#include <array>
#include <cstddef>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace {

using namespace bulkhead;

constexpr const char* access_log = "../shared/data/access_log.gz";
constexpr std::size_t small_bulk = std::size_t{512} << 10;
constexpr std::size_t large_bulk = std::size_t{5} << 20;

/// 1,024 log events of 400 bytes each, much as benchmarks/end_to_end/rig.py makes them up.
std::vector<std::string> events() {
    constexpr std::size_t bytes = 400;
    constexpr std::array words{"order", "payment", "user",    "session", "cache",  "query", "index", "shard",
                               "retry", "timeout", "request", "node",    "commit", "flush", "bulk"};
    constexpr std::array levels{"info", "info", "info", "warn", "error"};
    constexpr std::array statuses{200, 201, 404, 500};
    std::mt19937 random{4};
    const auto below = [&](std::size_t limit) {
        return std::uniform_int_distribution<std::size_t>{0, limit - 1}(random);
    };
    std::vector<std::string> all;
    for (int number = 0; number < 1024; ++number) {
        char time[32];
        char trace[33];
        std::snprintf(time, sizeof time, "2026-11-24T%02d:%02d:%02d.000Z", static_cast<int>(below(24)),
                      static_cast<int>(below(60)), static_cast<int>(below(60)));
        for (std::size_t i = 0; i < 32; i += 8) std::snprintf(trace + i, 9, "%08x", static_cast<unsigned>(random()));
        boost::json::object event{
            {"@timestamp", time},
            {"level", levels[below(levels.size())]},
            {"service", {{"name", words[below(words.size())]}, {"version", "1." + std::to_string(below(30)) + ".0"}}},
            {"trace", {{"id", trace}}},
            {"http", {{"status", statuses[below(statuses.size())]}}},
            {"duration_us", below(1'000'000)},
            {"number", number},
            {"message", ""}};
        const auto room = bytes - boost::json::serialize(event).size();
        std::string text;
        while (text.size() < room) text.append(words[below(words.size())]).append(" ");
        event["message"] = text.substr(0, room);
        all.push_back(boost::json::serialize(event));
    }
    return all;
}

/// Each line of the access log as a document; none when it is not there.
std::vector<std::string> log_lines() {
    std::vector<std::string> all;
    const std::unique_ptr<gzFile_s, int (*)(gzFile)> file{gzopen(access_log, "rb"), gzclose};
    if (!file) return all;
    std::array<char, 1 << 16> line{};
    while (gzgets(file.get(), line.data(), static_cast<int>(line.size())) != nullptr) {
        std::string text{line.data()};
        while (!text.empty() && text.back() == '\n') text.pop_back();
        all.push_back(boost::json::serialize(boost::json::object{{"message", text}}));
    }
    return all;
}

/// The documents in turn, until the bulk is full. Nothing of an operation without documents.
Batch bulk(const std::vector<std::string>& documents, std::size_t bytes) {
    Batch batch;
    for (std::size_t i = 0; !documents.empty() && batch.bytes() < bytes; ++i)
        if (batch.append({.action = Action::create, .index = "logs", .source = documents[i % documents.size()]})) break;
    return batch;
}

using Documents = std::vector<std::string> (*)();

/// `compress`: the body → the size of what it becomes.
template <class Compress>
void run(benchmark::State& state, Documents documents, std::size_t bytes, Compress compress) {
    const auto batch = bulk(documents(), bytes);
    if (batch.empty()) return state.SkipWithError("../shared/data/access_log.gz is not there");
    std::size_t size = 0;
    for (auto _ : state) size = compress(batch.body());
    const auto operations = static_cast<double>(batch.operations());
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(batch.bytes()));
    state.counters["cpu"] =
        benchmark::Counter(operations, benchmark::Counter::Flags(benchmark::Counter::kIsIterationInvariantRate |
                                                                 benchmark::Counter::kInvert));
    state.counters["document"] = static_cast<double>(batch.bytes()) / operations;
    state.counters["ratio"] = static_cast<double>(batch.bytes()) / static_cast<double>(size);
}

void gzip_encoder(benchmark::State& state, Documents documents, std::size_t bytes) {
    GzipEncoder encoder{1};
    run(state, documents, bytes, [&](std::string_view body) {
        const asio::const_buffer buffer{body.data(), body.size()};
        return asio::buffer_size(encoder.encode({&buffer, 1}));
    });
}

/// The body lies in two buffers, and has to be gathered.
void gzip_encoder_of_two_buffers(benchmark::State& state, Documents documents, std::size_t bytes) {
    GzipEncoder encoder{1};
    run(state, documents, bytes, [&](std::string_view body) {
        const auto half = body.size() / 2;
        const std::array<asio::const_buffer, 2> buffers{asio::buffer(body.data(), half),
                                                        asio::buffer(body.data() + half, body.size() - half)};
        return asio::buffer_size(encoder.encode(buffers));
    });
}

void libdeflate_alone(benchmark::State& state, Documents documents, std::size_t bytes) {
    const std::unique_ptr<libdeflate_compressor, void (*)(libdeflate_compressor*)> compressor{
        libdeflate_alloc_compressor(1), libdeflate_free_compressor};
    std::string out;
    run(state, documents, bytes, [&](std::string_view body) {
        out.resize(libdeflate_gzip_compress_bound(compressor.get(), body.size()));
        return libdeflate_gzip_compress(compressor.get(), body.data(), body.size(), out.data(), out.size());
    });
}

#define ON_EACH(function)                                                                                              \
    BENCHMARK_CAPTURE(function, 512KiB, events, small_bulk);                                                           \
    BENCHMARK_CAPTURE(function, 5MiB, events, large_bulk);                                                             \
    BENCHMARK_CAPTURE(function, 512KiB_of_log_lines, log_lines, small_bulk);                                           \
    BENCHMARK_CAPTURE(function, 5MiB_of_log_lines, log_lines, large_bulk)

ON_EACH(libdeflate_alone);
ON_EACH(gzip_encoder);
ON_EACH(gzip_encoder_of_two_buffers);

} // namespace
