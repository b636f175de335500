// SPDX-License-Identifier: BSL-1.0
// The program of docs/start.md.
#include <bulkhead/bulkhead.hpp>

#include <iostream>

int main(int argc, char** argv) try {
    using namespace bulkhead;
    StandaloneIndexer<HttpTransport> indexer{HttpOptions{.url = argc > 1 ? argv[1] : "http://127.0.0.1:9200"},
                                             IndexerOptions{.index = "first"}};
    indexer->enqueue({.source = R"({"message":"hello"})"}); // returns at once
    const auto report = indexer.close(std::chrono::seconds{10});
    std::cout << report.stats.indexed << " indexed\n";
    for (const auto& failure : report.stats.failures) std::cerr << failure.type << ": " << failure.reason << '\n';
    return report.stats.indexed == 1 ? 0 : 1;
} catch (const bulkhead::InvalidOption& wrong) {
    return std::cerr << wrong.what() << '\n', 2;
}
