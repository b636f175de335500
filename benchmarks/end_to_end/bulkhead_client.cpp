// SPDX-License-Identifier: BSL-1.0
//
// Sends documents to a `_bulk` endpoint through `BulkIndexer<HttpTransport>` as fast as it takes them, and prints one
// line of JSON: what was sent, how it ended, time, CPU, memory and, on request, how long the calls of `enqueue` took.
//
//     bulkhead_client PORT DOCUMENTS DOCUMENT_BYTES
//
// Environment: DOCS_FILE (one document a line, used in turn; else one of DOCUMENT_BYTES is made up), BATCH_BYTES,
// BATCH_OPS, CONNECTIONS (bulks in flight), BUFFER_BYTES (the budget), DUPLICATES=client_id, LAT=1 (time every call,
// and an empty loop that reads the clock beside it; a refused document is offered again at once instead of waiting),
// LAT=cpu (the same by the CPU time of the calling thread: what the calls take when nothing else is given the core).

#include <bulkhead/bulkhead.hpp>
#include <bulkhead/gzip.hpp>
#include <bulkhead/tls.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>

#include <sys/resource.h>

#include <array>
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

std::string text_of(const char* name, const char* otherwise) {
    const char* value = std::getenv(name); // NOLINT(concurrency-mt-unsafe): no thread has begun
    return value != nullptr && *value != '\0' ? value : otherwise;
}
std::size_t number_of(const char* name, std::size_t otherwise) {
    return std::stoul(text_of(name, std::to_string(otherwise).c_str()));
}

double cpu_seconds() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& t) { return double(t.tv_sec) + double(t.tv_usec) / 1e6; };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}
long peak_rss_kib() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

std::vector<std::string> load_documents(std::size_t bytes) {
    std::vector<std::string> documents;
    if (const auto file = text_of("DOCS_FILE", ""); !file.empty()) {
        std::ifstream lines{file};
        for (std::string line; std::getline(lines, line);) documents.push_back(line);
    }
    if (documents.empty()) documents.push_back("{\"m\":\"" + std::string(bytes - 8, 'x') + "\"}");
    return documents;
}

/// Counts durations in buckets about 3 % wide.
class Histogram {
public:
    void add(std::uint64_t nanoseconds) noexcept {
        ++buckets_[bucket(nanoseconds)];
        ++count_;
        longest_ = std::max(longest_, nanoseconds);
    }
    /// The upper edge of the bucket that holds this share of the durations, in microseconds.
    [[nodiscard]] double quantile(double share) const noexcept {
        auto left = static_cast<std::uint64_t>(share * double(count_));
        for (std::size_t i = 0; i < buckets_.size(); ++i) {
            if (left < buckets_[i]) return double(upper_edge(i)) / 1e3;
            left -= buckets_[i];
        }
        return longest();
    }
    [[nodiscard]] double longest() const noexcept { return double(longest_) / 1e3; }
    [[nodiscard]] std::uint64_t count() const noexcept { return count_; }

private:
    static constexpr unsigned sub = 5; // 32 buckets for each doubling
    static std::size_t bucket(std::uint64_t value) noexcept {
        if (value < (1U << sub)) return value;
        const auto shift = static_cast<unsigned>(std::bit_width(value)) - sub - 1;
        return (std::size_t{shift} << sub) + static_cast<std::size_t>(value >> shift);
    }
    static std::uint64_t upper_edge(std::size_t bucket) noexcept {
        if (bucket < (2U << sub)) return bucket;
        const auto shift = (bucket >> sub) - 1;
        return ((bucket & ((1U << sub) - 1)) + (1U << sub) + 1) << shift;
    }
    std::array<std::uint64_t, 2048> buckets_{};
    std::uint64_t count_ = 0;
    std::uint64_t longest_ = 0;
};

std::uint64_t nanoseconds_of(clockid_t clock) {
    timespec now{};
    clock_gettime(clock, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
}

/// What the machine itself does to a loop that only reads the clock.
class EmptyLoop {
public:
    void start() {
        thread_ = std::thread{[this] {
            auto last = Clock::now();
            while (!stop_.load(std::memory_order_relaxed)) {
                const auto now = Clock::now();
                gaps_.add(static_cast<std::uint64_t>((now - last).count()));
                last = now;
            }
        }};
    }
    const Histogram& stop() {
        stop_ = true;
        if (thread_.joinable()) thread_.join();
        return gaps_;
    }

private:
    std::atomic<bool> stop_{false};
    Histogram gaps_;
    std::thread thread_;
};

void print(const char* name, const Histogram& times) {
    std::printf(",\"%s\":{\"calls\":%llu,\"p50\":%.3f,\"p99\":%.3f,\"p999\":%.3f,\"max\":%.1f}", name,
                static_cast<unsigned long long>(times.count()), times.quantile(0.5), times.quantile(0.99),
                times.quantile(0.999), times.longest());
}

/// Offers every document until it is accepted.
template <class Indexer>
class Producer {
public:
    Producer(Indexer& indexer, const std::vector<std::string>& documents) : indexer_{indexer}, documents_{documents} {}

    void run(std::size_t count) {
        using namespace std::chrono_literals;
        for (std::size_t i = 0; i < count; ++i) {
            const auto op = next();
            if (indexer_.try_enqueue(op) == bulkhead::Admission::accepted) continue;
            while (indexer_.enqueue_wait(op, 60s) != bulkhead::Admission::accepted) {
            }
        }
    }
    /// Reads the clock once a call, so the loop around it is counted too.
    template <class Read>
    void run_timed(std::size_t count, Histogram& times, Read read_clock) {
        std::uint64_t last = read_clock();
        for (std::size_t i = 0; i < count; ++i) {
            const auto op = next();
            for (bool accepted = false; !accepted;) {
                accepted = indexer_.try_enqueue(op) == bulkhead::Admission::accepted;
                const std::uint64_t now = read_clock();
                times.add(now - last);
                last = now;
            }
        }
    }

private:
    bulkhead::Operation next() {
        const auto& source = documents_[at_];
        if (++at_ == documents_.size()) at_ = 0;
        return {.action = bulkhead::Action::create, .source = source};
    }
    Indexer& indexer_;
    const std::vector<std::string>& documents_;
    std::size_t at_ = 0;
};

template <class Transport>
int send(const bulkhead::HttpOptions& http, const auto& connector, std::size_t count, std::size_t bytes) {
    const auto documents = load_documents(bytes);
    const auto timing = text_of("LAT", "");
    const bool timed = !timing.empty();
    const auto clock = timing == "cpu" ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
    bulkhead::IndexerOptions options;
    options.index = "logs";
    options.max_batch_bytes = number_of("BATCH_BYTES", std::size_t{5} << 20);
    options.max_batch_operations = number_of("BATCH_OPS", 1'000'000);
    options.max_in_flight = number_of("CONNECTIONS", 2);
    options.max_buffered_bytes = number_of("BUFFER_BYTES", std::size_t{64} << 20);
    if (text_of("DUPLICATES", "") == "client_id") options.duplicates = bulkhead::Duplicates::client_id;

    boost::asio::io_context context{1};
    auto work = boost::asio::make_work_guard(context);
    bulkhead::BulkIndexer<Transport> indexer{context.get_executor(), Transport{context.get_executor(), http, connector},
                                             options};
    std::thread background{[&] { context.run(); }};

    Histogram times;
    EmptyLoop empty_loop;
    if (timed) empty_loop.start();
    const auto cpu_before = cpu_seconds();
    const auto began = Clock::now();
    Producer producer{indexer, documents};
    rusage before{};
    rusage after{};
    getrusage(RUSAGE_THREAD, &before);
    if (timed) {
        producer.run_timed(count, times, [clock] { return nanoseconds_of(clock); });
        getrusage(RUSAGE_THREAD, &after);
    } else {
        producer.run(count);
    }
    const auto report = indexer.async_close(std::chrono::minutes{1}, boost::asio::use_future).get();
    const auto cpu = cpu_seconds() - cpu_before;
    const auto wall = std::chrono::duration<double>(Clock::now() - began).count();
    const auto& gaps = empty_loop.stop();
    work.reset();
    background.join();

    const auto& stats = report.stats;
    const auto there = stats.indexed + stats.superseded;
    std::printf("{\"peer\":\"bulkhead\",\"docs\":%zu,\"wall_s\":%.3f,\"cpu_s\":%.3f,\"rss_kb\":%ld,\"indexed\":%llu,"
                "\"failed\":%llu,\"requests\":%llu,\"peak_buffered_bytes\":%llu",
                count, wall, cpu, peak_rss_kib(), static_cast<unsigned long long>(there),
                static_cast<unsigned long long>(stats.accepted - there),
                static_cast<unsigned long long>(stats.requests),
                static_cast<unsigned long long>(stats.peak_buffered_bytes));
    if (timed) {
        print("add_us", times);
        print("empty_loop_us", gaps);
        // A call that waits gives its core away by itself.
        std::printf(",\"waits\":%ld,\"preempted\":%ld", after.ru_nvcsw - before.ru_nvcsw,
                    after.ru_nivcsw - before.ru_nivcsw);
    }
    std::printf("}\n");
    return there == count ? 0 : 1;
}

/// By TLS with CA_FILE, gzip with GZIP (the level).
int send(const std::string& port, std::size_t count, std::size_t bytes) {
    using namespace bulkhead;
    using Tls = TlsConnector<>;
    using Plain = PlainConnector<>;
    const auto authority = text_of("CA_FILE", "");
    HttpOptions http;
    http.url = (authority.empty() ? "http" : "https") + std::string{"://127.0.0.1:"} + port;
    const auto level = number_of("GZIP", 0);
    if (level != 0) http.compression_level = static_cast<int>(level);
    if (authority.empty())
        return level == 0 ? send<HttpTransport>(http, Plain{}, count, bytes)
                          : send<GzipTransport>(http, Plain{}, count, bytes);
    TlsOptions options;
    options.ca_file = authority;
    const Tls tls{options};
    return level == 0 ? send<HttpsTransport>(http, tls, count, bytes)
                      : send<basic_http_transport<Tls, GzipEncoder>>(http, tls, count, bytes);
}

} // namespace

int main(int argc, char** argv) {
    if (argc != 4) {
        std::fprintf(stderr, "usage: %s PORT DOCUMENTS DOCUMENT_BYTES\n", argv[0]);
        return 2;
    }
    try {
        return send(argv[1], std::stoul(argv[2]), std::stoul(argv[3]));
    } catch (const std::exception& error) {
        std::fprintf(stderr, "bulkhead_client: %s\n", error.what());
        return 2;
    }
}
