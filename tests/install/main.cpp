// SPDX-License-Identifier: BSL-1.0
#include <bulkhead/bulkhead.hpp>

#include <iostream>

int main() {
    using namespace bulkhead;
    using namespace std::chrono_literals;
    StandaloneIndexer<HttpTransport> indexer{HttpOptions{.url = "http://127.0.0.1:9"}, {.index = "logs"}};
    indexer->enqueue({.source = R"({"message":"nobody listens on the discard port"})"});
    const auto report = indexer.close(100ms);
    const auto ended = report.stats.undelivered + report.stats.unknown;
    std::cout << "accepted " << report.stats.accepted << ", given up " << ended << '\n';
    return report.stats.accepted == 1 && ended == 1 && !report.drained ? 0 : 1;
}
