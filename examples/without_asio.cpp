// SPDX-License-Identifier: BSL-1.0
// A program that knows nothing of Boost.Asio: several threads hand in documents, and nobody waits until the end.
#include <bulkhead/bulkhead.hpp>

#include <chrono>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

int main(int argc, char** argv) {
    using namespace std::chrono_literals;
    bulkhead::HttpOptions http;
    http.url = argc > 1 ? argv[1] : "http://127.0.0.1:9200";
    bulkhead::IndexerOptions options;
    options.index = "measurements";
    options.flush_interval = 200ms;

    try {
        bulkhead::StandaloneIndexer<bulkhead::HttpTransport> indexer{http, options};

        std::vector<std::thread> sensors;
        for (int sensor = 0; sensor < 4; ++sensor) {
            sensors.emplace_back([&indexer, sensor] {
                for (int i = 0; i < 10'000; ++i) {
                    const auto document =
                        R"({"sensor":)" + std::to_string(sensor) + R"(,"value":)" + std::to_string(i * 7 % 1000) + "}";
                    bulkhead::Operation operation;
                    operation.source = document;
                    // Wait for room where there is none, at most a second: this program would rather wait than lose.
                    // `indexer->enqueue(operation)` never waits, and counts what it refuses.
                    if (indexer->enqueue_wait(operation, 1s) != bulkhead::Admission::accepted) return;
                }
            });
        }
        for (auto& sensor : sensors) sensor.join();

        if (const auto error = indexer.flush(10s)) std::cerr << "not all is settled yet: " << error.message() << '\n';
        const auto report = indexer.close(10s);
        std::cout << report.stats.accepted << " accepted: " << report.stats.indexed << " indexed, "
                  << report.stats.rejected << " rejected, " << report.stats.undelivered + report.stats.unknown
                  << " not proven, in " << report.stats.requests << " requests\n";
        for (const auto& failure : report.stats.failures)
            std::cerr << failure.count << " times " << failure.type << ": " << failure.reason << '\n';
        return report.stats.indexed == report.stats.offered ? 0 : 1;
    } catch (const bulkhead::InvalidOption& wrong) {
        std::cerr << wrong.what() << '\n';
        return 2;
    }
}
